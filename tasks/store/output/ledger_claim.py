"""The object `ledger.json` in a bucket, which says on which machine or in which database the batch's ledger is.

The object is one of two things. A pointer leads to a database that every machine reaches; each machine keeps a copy of
it where it looks for the ledger. A claim says that the ledger is a file on one machine, and names host and folder for
people. Several machines may have one name, so programs go by the claim's id, of which its machine keeps a copy.
"""

from __future__ import annotations

import json
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tasks.core.atomic_files import write_atomically
from tasks.core.errors import OutputError
from tasks.core.paths import POINTER_NAME, get_ledger_path
from tasks.store.output.base import Output

CLAIM_NAME = "claim.json"
"""The copy of a machine's own claim, beside its ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A machine's word that it has the ledger of a batch."""

    id: str
    """Drawn once for a batch and a machine."""
    host: str
    path: str
    """Folder of the ledger on that host."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a claim; `?` stands for a field that it lacks."""
        record = _parse_record(data)
        return cls(**{name: str(record.get(name, "?")) for name in ("id", "host", "path")})

    @property
    def is_of_this_host(self) -> bool:
        """True if a machine of this name has made it."""
        return self.host == socket.gethostname()

    def as_bytes(self) -> bytes:
        """The bytes that are written to the bucket."""
        return json.dumps(asdict(self), indent=2).encode() + b"\n"


def is_database_pointer(data: bytes) -> bool:
    """True if this `ledger.json` leads to a database."""
    return "url" in _parse_record(data)


def read_kept(home: Path) -> bytes | None:
    """Read this machine's copy of the batch's `ledger.json`; None where it does not know the batch."""
    # A claim without its ledger is nobody's: the batch would begin again and pay again.
    names = [POINTER_NAME, CLAIM_NAME] if get_ledger_path(home).is_file() else [POINTER_NAME]
    return next((path.read_bytes() for path in map(home.joinpath, names) if path.is_file()), None)


def keep(home: Path, data: bytes) -> None:
    """Keep a copy of the batch's `ledger.json` for `read_kept`.

    Raises:
        OutputError: It cannot be written here.
    """
    path = home / (POINTER_NAME if is_database_pointer(data) else CLAIM_NAME)
    try:
        write_atomically(path, data)
    except OSError as exc:
        raise OutputError(f"{path}: cannot be written ({exc.strerror})") from None


def forget(home: Path) -> None:
    """Remove the copies: another machine was first."""
    # Both kinds: which of them was kept depends on who was first.
    for name in (POINTER_NAME, CLAIM_NAME):
        (home / name).unlink(missing_ok=True)


def create_claim(home: Path) -> bytes:
    """The claim of this machine to a batch whose ledger is in `home`."""
    return Claim(id=secrets.token_hex(16), host=socket.gethostname(), path=str(home)).as_bytes()


def follow_pointer(there: bytes, out: Output) -> None:
    """Check that the ledger can be reached from here; a way to a database is kept where a ledger is looked for.

    Args:
        there: The object `ledger.json` of the bucket.
        out: The output in the bucket.

    Raises:
        OutputError: The ledger is on another machine, or gone from this one.
    """
    # Byte for byte: the id in it is this machine's only proof.
    if there == read_kept(out.home):
        return
    if not is_database_pointer(there):
        raise explain_elsewhere(there, out)
    keep(out.home, there)


def explain_elsewhere(there: bytes, out: Output) -> OutputError:
    """Build the error for a batch whose `ledger.json` is not this machine's."""
    if is_database_pointer(there):
        return OutputError(f"{out}: another machine has begun this batch just now: give the same command again")
    claim = Claim.parse(there)
    if claim.is_of_this_host and claim.path == str(out.home):
        return OutputError(
            f"{out}: this batch's ledger was on this machine in {claim.path} and is gone: bring it back, or choose "
            f"another --out; to begin anew, and pay anew, remove {POINTER_NAME} from the bucket"
        )
    return OutputError(
        f"{out}: this batch's ledger is on {claim.host} in {claim.path}: go on there, or choose another --out; "
        "a batch that several machines work on keeps its ledger in PostgreSQL"
    )


def _parse_record(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
