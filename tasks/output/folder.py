"""The output is a folder of this machine: temporary name, fsync, rename; a full disk stops the batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from tasks.atomic_files import replacing, write_atomically
from tasks.disk import stopping_when_full
from tasks.errors import OutputError
from tasks.output.base import File, Output
from tasks.paths import batches_under


class OutputFolder:
    """A folder that holds the pictures, the table, the ledger and its lock."""

    def __init__(self, path: str | Path) -> None:
        """The folder at `path`, which need not exist yet."""
        self._path = Path(path)

    def __str__(self) -> str:
        """The path as the user gave it."""
        return str(self._path)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self._path.resolve().name

    @property
    def address(self) -> str:
        """Its absolute path."""
        return str(self._path.resolve())

    @property
    def home(self) -> Path:
        """The folder itself."""
        return self._path

    def ledger_folder(self) -> Path:
        """The folder itself; whoever opens the ledger says when there is none."""
        return self._path

    def below(self) -> Iterator[Output]:
        """This folder or every batch's below it."""
        return map(OutputFolder, batches_under(self._path))

    def check(self) -> None:
        """Nothing: whoever takes the folder's lock has made the folder and written to it."""

    def claim(self, *, first: bool) -> None:
        """Nothing: the ledger lies beside the pictures, so both go wherever the folder goes."""

    async def write(self, make: Callable[[], File]) -> File:
        """Make the file and have it on disk, in one go of a thread."""
        return await asyncio.to_thread(self._write, make)

    @asynccontextmanager
    async def replacing(self, name: str) -> AsyncIterator[Path]:
        """A temporary name beside the file."""
        with stopping_when_full(self._path), replacing(self._path / name) as temporary:
            yield temporary

    def read(self, name: str) -> bytes | None:
        """The file's bytes."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise OutputError(f"{self._path / name}: cannot be read ({exc.strerror})") from None

    def _write(self, make: Callable[[], File]) -> File:
        file = make()
        # Whatever the reason is, the next pictures would be paid for and meet it too.
        with stopping_when_full(self._path):
            write_atomically(self._path / file.name, file.data)
        return file
