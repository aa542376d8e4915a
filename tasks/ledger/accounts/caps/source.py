"""The caps that a batch keeps to, as its configuration has them now and not as it had them when the run began."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import DBAPIError

from tasks.core.caps.cap import CapSettings
from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.database import build_insert
from tasks.core.display import current_display
from tasks.core.errors import ConfigError
from tasks.ledger.accounts.caps.schema import configurations
from tasks.ledger.database.writer import LedgerWriter
from tasks.manifest.remote import is_remote


class CapsSource:
    """Caps of a configuration file, read anew whenever it changes; of settings alone where there is no file."""

    def __init__(self, caps: Sequence[CapSettings], file: Path | None) -> None:
        """Begin with these caps, which the file (if any) holds now."""
        self._caps = tuple(caps)
        self._file = file
        self._seen = self._look()

    @property
    def caps(self) -> tuple[CapSettings, ...]:
        """The caps at this moment; a file that cannot be read keeps the last ones, with a warning."""
        if self._file is not None and (seen := self._look()) not in {None, self._seen}:
            self._seen = seen
            try:
                self._caps = tuple(load_settings(self._file).caps)
            except ConfigError as exc:
                # It may be half written, or wrong for hours: the caps that held before go on to hold.
                current_display.get().alert(
                    f"the caps stay as they were, because the configuration cannot be read: {exc}"
                )
        return self._caps

    def _look(self) -> tuple[int, int, int] | None:
        if self._file is None:
            return None
        try:
            found = os.stat(self._file)  # noqa: PTH116  asked before every group of charges
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


async def open_source(settings: Settings, batch: str, state: LedgerWriter | None) -> CapsSource:
    """The caps of a batch.

    Args:
        settings: The run's. On a resume they are the last run's, and the file that it named is looked at.
        batch: The batch's identity.
        state: This machine's place, which knows the file; None where it cannot be used.
    """
    file = await asyncio.to_thread(_find_file, settings)
    if state is not None:
        # On a full disk the file is not noted; a resume then keeps to the caps that the ledger has.
        with suppress(DBAPIError, OSError):
            file = await state.write(partial(_remember, batch=batch, file=file, forget=is_remote(settings.file)))
    if file is None:
        return CapsSource(settings.caps, None)
    try:
        return CapsSource((await asyncio.to_thread(load_settings, file)).caps, file)
    except ConfigError:  # moved away or broken since; what the ledger has kept still holds
        return CapsSource(settings.caps, file)


def _find_file(settings: Settings) -> Path | None:
    path = Path(settings.file).absolute()
    return path if path.is_file() else None


def _remember(db: Connection, batch: str, file: Path | None, *, forget: bool) -> Path | None:
    """Note the batch's configuration; where it names none, the one that is noted."""
    if forget:
        # The configuration is at an address now: caps of an earlier file would take the place of its own.
        db.execute(delete(configurations).where(configurations.c.batch == batch))
    if file is None:
        known = db.execute(select(configurations.c.path).where(configurations.c.batch == batch)).scalar()
        return None if known is None else Path(known)
    row = {"batch": batch, "path": str(file)}
    insert = build_insert(db.dialect.name, configurations).values(row)
    db.execute(insert.on_conflict_do_update(index_elements=["batch"], set_=row))
    return file
