"""The object `ledger.json` in a bucket: whose the batch is.

It names the machine that has the ledger, for people; an id of which that machine keeps a copy beside the ledger says
for programs whether it is this one. A host's name would not do: machines of one name are common.
"""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tasks.atomic_files import write_atomically

POINTER_NAME = "ledger.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Where the ledger of a batch is."""

    id: str
    """Drawn once for a batch and a machine."""
    host: str
    path: str
    """Folder of the ledger on that host."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read what `data` says; whatever it is, it is another batch's than ours.

        Returns:
            A pointer whose fields are `?` where the text does not say.
        """
        try:
            fields = json.loads(data)
        except ValueError:
            fields = {}
        known = fields if isinstance(fields, dict) else {}
        return cls(**{name: str(known.get(name, "?")) for name in ("id", "host", "path")})

    def as_bytes(self) -> bytes:
        """What is written to the bucket."""
        return json.dumps(asdict(self), indent=2).encode() + b"\n"


def own_pointer(home: Path) -> Pointer:
    """The pointer of this machine to its ledger in `home`; drawn and kept there the first time.

    Raises:
        OSError: It cannot be kept.
    """
    copy = home / POINTER_NAME
    if (known := kept_pointer(home)) is not None:
        return known
    pointer = Pointer(id=secrets.token_hex(16), host=socket.gethostname(), path=str(home))
    write_atomically(copy, pointer.as_bytes())
    return pointer


def kept_pointer(home: Path) -> Pointer | None:
    """The copy in `home`; None where this machine has none."""
    try:
        return Pointer.parse((home / POINTER_NAME).read_bytes())
    except FileNotFoundError:
        return None


def forget_pointer(home: Path) -> None:
    """Remove the copy: the batch has become another machine's."""
    (home / POINTER_NAME).unlink(missing_ok=True)
