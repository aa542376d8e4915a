"""The noun: where a batch's output lies, and what can be done there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Protocol, TypeVar

from tasks.core.errors import UnreadableFile

IMAGES = "images"
"""The folder of all images inside an output."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file on its way into an output."""

    name: str
    """Relative to the output, with slashes: `images/3f/fox-3f9a1c2b77d0.png`."""
    data: bytes


def is_contained(name: object) -> bool:
    """True if this is the name of a file inside of an output, on any system; a ledger may come from a stranger."""
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    path = PureWindowsPath(name)  # it knows both kinds of slashes, and drives
    return not path.anchor and ".." not in path.parts


def check_contained(name: str, out: object) -> None:
    """Pass when the file lies inside of the output.

    Raises:
        UnreadableFile: It does not; nothing was read or written.
    """
    if not is_contained(name):
        raise UnreadableFile(f"{name!r}: the ledger names a file outside of {out}; this is not touched")


File = TypeVar("File", bound=NewFile)


class Output(Protocol):
    """The place of one batch's files. Its text (`str`) is what a user gives to come back to it."""

    @property
    def name(self) -> str:
        """Of the batch, for people."""

    @property
    def address(self) -> str:
        """The text that means this place in any other process, whatever folder that works in."""

    @property
    def home(self) -> Path:
        """The folder of this machine that holds the ledger (unless it is a database) and the lock."""

    def ledger_folder(self) -> Path:
        """`home`, where the ledger of this batch may be looked for.

        Raises:
            OutputError: The batch's ledger is on another machine, or there is no such batch.
        """

    def below(self) -> Iterator[Output]:
        """This output where it holds a batch whose ledger can be reached from here, else every one known here below it.

        None where there is none.

        Raises:
            OutputError: The batch's ledger is on another machine, or the storage cannot be reached.
        """

    def check(self) -> None:
        """Pass when a run may start here. Writes nothing that stays.

        Raises:
            OutputError: It cannot be written, or its ledger is on another machine. Nothing was spent; trying again
                helps once that is corrected.
        """

    def claim(self, *, first: bool) -> None:
        """Write down that the ledger of this batch is on this machine, so that no other begins the same batch.

        Args:
            first: The ledger has no run yet.

        Raises:
            OutputError: The batch belongs to another machine, or its claim is gone. Nothing was spent.
        """

    def check_in_place(self) -> None:
        """Pass while the output is where the run began; a folder can be renamed or replaced meanwhile.

        Raises:
            BatchStopped: It is not. Nothing more may be sent or written; the ledger went along and can be resumed there.
        """

    async def write(self, make: Callable[[], File]) -> File:
        """Make a file in a thread and write it, whole or not at all; it is safe when this returns.

        Raises:
            BatchStopped: It could not be written (`disk`, `storage`). Nothing is lost, and a resume pays nothing twice.
        """

    def replacing(self, name: str) -> AbstractAsyncContextManager[Path]:
        """A local path for the block to write; what it wrote becomes the file `name` when the block succeeds.

        Raises:
            BatchStopped: As `write` has it; the old file is still there.
        """

    def read(self, name: str) -> bytes | None:
        """A small file's bytes; None where there is none.

        Raises:
            UnreadableFile: It is there and cannot be read.
            OutputError: The storage cannot be reached, or does not let us read.
        """

    def has(self, name: str) -> bool:
        """True if there is such a file.

        Raises:
            OutputError: The storage cannot be reached, or does not let us read.
        """

    def get_size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none.

        Raises:
            OutputError: The storage cannot be reached, or does not let us read.
        """

    async def names(self, folder: str) -> set[str]:
        """Every file in `folder` and below it, by its name in the output; empty where there is no such folder.

        Raises:
            OutputError: The storage cannot be reached, or does not let us list.
        """

    async def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every file in `folder` and below it, by its name in the output.

        Raises:
            OutputError: The storage cannot be reached, or does not let us list.
        """

    async def remove(self, names: Iterable[str]) -> None:
        """Remove files that nothing needs any more, as far as that is allowed; one that is gone already is fine."""

    def address_from(self, other: Output) -> str | None:
        """Beginning of the URL by which a page in `other` reaches this output.

        Returns:
            Empty for the output itself; None where no page there can load what lies here.
        """
