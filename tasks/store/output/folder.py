"""The output is a folder of this machine: temporary name, fsync, rename; a full disk stops the batch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote

from tasks.core.atomic_files import replace_atomically, write_atomically
from tasks.core.errors import BatchStopped, OutputError, UnreadableFile
from tasks.core.paths import find_batches, has_ledger, require_folder
from tasks.core.safe_text import os_error_text
from tasks.core.text import format_command
from tasks.store.disk import stop_when_full
from tasks.store.output.base import File, Output, check_contained, is_contained

OTHER_TABLES = ("metadata.csv", "metadata.jsonl")
"""Tables that `datasets` looks for beside `metadata.parquet`; it refuses a folder with two of them."""
RUN_FILES = ("metadata.parquet", "summary.json")
"""Files beside the images that every run writes anew."""


class OutputFolder:
    """A folder that holds the images, the table, the ledger and its lock."""

    def __init__(self, path: str | Path) -> None:
        """The folder at `path`, which need not exist yet."""
        self._path = Path(path)
        # Device and inode: a folder that is renamed and made anew has the same path and is another one.
        self._inode: tuple[int, int] | None = None

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
        return map(OutputFolder, find_batches(self._path))

    def check(self) -> None:
        """Check that it is no other program's data set; whoever takes its lock has made it and written to it.

        Raises:
            OutputError: It holds a table beside which `datasets` could not open ours, or a file that a run would overwrite.
        """
        require_folder(self._path)
        # Without a ledger they are another program's, or all that is left of a batch that was paid for.
        strangers = [] if has_ledger(self._path) else [name for name in RUN_FILES if (self._path / name).exists()]
        if strangers:
            raise OutputError(
                f"{self._path}: holds {strangers[0]} and no ledger, so no batch can go on there, and a new one would "
                "overwrite that file. Move it away, or choose another --out."
            )
        for name in OTHER_TABLES:
            if (self._path / name).exists():
                raise OutputError(
                    f"{self._path}: holds {name}, the table of another data set. With two tables `datasets` cannot open "
                    "the folder. Choose another --out."
                )

    def claim(self, *, first: bool) -> None:
        """Remember which folder this is; the ledger lies beside the images, so both go wherever it goes."""
        self._inode = self._find_inode()

    def check_in_place(self) -> None:
        """See `Output.check_in_place`."""
        # A stat for every image; it takes microseconds.
        found = self._find_inode()
        if self._inode is None:  # a worker's first look
            self._inode = found
        elif found != self._inode:
            raise BatchStopped(
                "moved",
                f"the folder {self._path} was renamed, replaced or deleted while the batch ran, so nothing more is sent "
                f"or written there; find it and run `{format_command('resume', 'NEW_FOLDER')}`",
            )

    async def write(self, make: Callable[[], File]) -> File:
        """Make the file and have it on disk, in one go of a thread."""
        return await asyncio.to_thread(self._write, make)

    @asynccontextmanager
    async def replacing(self, name: str) -> AsyncIterator[Path]:
        """A temporary name beside the file."""
        self.check_in_place()
        with stop_when_full(self._path), replace_atomically(self._path / name) as temporary:
            yield temporary

    def read(self, name: str) -> bytes | None:
        """The file's bytes."""
        self._check_place(name)
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise UnreadableFile(f"{self._path / name}: cannot be read ({os_error_text(exc)})") from None

    def has(self, name: str) -> bool:
        """True if it is a file."""
        return is_contained(name) and (self._path / name).is_file()

    def find_file(self, name: str, *, size: int) -> Path | None:
        """The path of a file of this many bytes, for whoever links it; None where it is another one, or leads out of here."""
        if not is_contained(name):
            return None
        try:
            # Folders on the way may be links too, and lead to files that are none of the batch's.
            path, home = (self._path / name).resolve(strict=True), self._path.resolve(strict=True)
            found = path.lstat()
        except (OSError, RuntimeError):  # the latter for links in a circle
            return None
        # A pipe would be waited for without end.
        return path if path.is_relative_to(home) and S_ISREG(found.st_mode) and found.st_size == size else None

    def get_size(self, name: str) -> int | None:
        """Its bytes, by a look at the folder alone."""
        return (self._path / name).stat().st_size if self.has(name) else None

    async def names(self, folder: str) -> set[str]:
        """Whatever is no folder, leftovers of killed writers too."""
        return await asyncio.to_thread(lambda: set(self._names(folder)))

    async def sizes(self, folder: str) -> dict[str, int]:
        """A file that goes meanwhile is left out."""
        return await asyncio.to_thread(lambda: dict(self._sizes(folder)))

    async def remove(self, names: Iterable[str]) -> None:
        """Unlink them; the folders stay."""
        await asyncio.to_thread(self._remove, list(names))

    def address_from(self, other: Output) -> str | None:
        """Relative where both are on one drive, so that both folders may move together."""
        if not isinstance(other, OutputFolder):
            return None
        here, there = self._path.resolve(), other.home.resolve()
        if here == there:
            return ""
        try:
            # Quoted: a folder's name may hold `#` or `%`, which end a URL's path.
            return quote(Path(os.path.relpath(here, there)).as_posix()) + "/"
        except ValueError:  # two drives of Windows
            return here.as_uri() + "/"

    def _find_inode(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _names(self, folder: str) -> Iterator[str]:
        for parent, _, names in os.walk(self._path / folder):
            below = Path(parent).relative_to(self._path).as_posix()
            yield from (f"{below}/{name}" for name in names)

    def _sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        for name in self._names(folder):
            with suppress(OSError):
                yield name, (self._path / name).stat().st_size

    def _remove(self, names: list[str]) -> None:
        for name in names:
            with suppress(OSError):
                (self._path / name).unlink()

    def _check_place(self, name: str) -> None:
        """Pass when the file lies in this folder; a link in the folder of a stranger may lead anywhere.

        Raises:
            UnreadableFile: It does not.
        """
        check_contained(name, self)
        path = self._path / name
        if path.is_symlink() and not path.resolve().is_relative_to(self._path.resolve()):
            raise UnreadableFile(f"{path}: is a link that leads out of {self}; this is not read")

    def _write(self, make: Callable[[], File]) -> File:
        # Checked and made before the place is looked at: it may take a while.
        file = make()
        check_contained(file.name, self)
        self.check_in_place()
        # Whatever the reason is, the next images would be paid for and meet it too.
        with stop_when_full(self._path):
            write_atomically(self._path / file.name, file.data)
        return file
