"""The address of a batch's review, kept for the next one.

Takes a batch, gives the port and token that its page had last time. A page that stayed open while its server was
ended or killed then finds the new server by itself, and hands over the verdicts that it could not send.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.core.errors import InputError
from tasks.core.paths import get_state_folder
from tasks.store.output import Output

FOLDER = "reviews"
MOST_BYTES = 1_000
"""Of the file; ours has a hundred."""


class KeptAddress(BaseModel):
    """The port of the page, and the secret in its address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int = Field(ge=1, le=65_535)
    token: str = Field(pattern=r"^[A-Za-z0-9_-]{32}$")


def read_address(out: Output, page: str = "") -> KeptAddress | None:
    """The address of this user's last review of the batch, or of its page of this name; None where none is known."""
    try:
        with _get_path(out, page).open("rb") as file:
            return KeptAddress.model_validate_json(file.read(MOST_BYTES))
    # A file that was cut by a full disk is worth as much as none.
    except (OSError, InputError, ValidationError):
        return None


def keep_address(out: Output, address: KeptAddress, page: str = "") -> None:
    """Keep it, readable by this user only; where that cannot be, the next review has a new address."""
    with suppress(OSError, InputError):
        path = _get_path(out, page)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever reads the token may judge: the mode is set as the file is made, not afterwards.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(address.model_dump_json().encode())


def _get_path(out: Output, page: str) -> Path:
    # The whole path: `out` in two folders is two batches.
    place = os.path.abspath(out.ledger_folder())  # noqa: PTH100  `resolve` would follow a link that is turned meanwhile
    return get_state_folder() / FOLDER / f"{page}{sha256(os.fsencode(place)).hexdigest()[:32]}.json"
