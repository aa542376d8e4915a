"""A suite's layout: where each image goes, and what else its program reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError
from tasks.core.safe_text import error_text
from tasks.metadata.exports.conversion import WrittenFormat


@dataclass(frozen=True, slots=True)
class SuiteImage:
    """One image of the batch, and its place."""

    values: Mapping[str, Any]
    """The columns of the table and of the manifest, by lower-case names."""
    extra: Mapping[str, Any]
    """The manifest's other columns as it spells them."""
    number: int
    """Of its row in the manifest, from 0; rows without an image count too."""
    group_number: int
    """The same among the rows of its group (a style), where the suite has groups."""

    @property
    def job_id(self) -> str:
        """Of the image."""
        return str(self.values["job_id"])

    @property
    def prompt(self) -> str:
        """As it stands in the manifest."""
        return str(self.values["prompt"])

    @property
    def sample(self) -> int:
        """Number among the row's samples, from 0."""
        return int(self.values["sample"])

    @property
    def place(self) -> str:
        """Line and sample, for messages."""
        return f"line {self.values['line']}"

    def require(self, *names: str, suite: str) -> str:
        """The value of the first of these columns that the row has.

        Raises:
            InputError: It has none of them.
        """
        for name in names:
            if (value := self.values.get(name)) not in {None, ""}:
                return str(value)
        wanted = " or ".join(names)
        raise InputError(
            f"--format {suite}: {self.place} has no {wanted}; run the suite's own list of prompts as the manifest, "
            f"or add the column {names[0]}"
        )


@dataclass(frozen=True, slots=True)
class PlacedImage:
    """An image and the file that it was written to."""

    image: SuiteImage
    path: str
    """Relative to the export's folder."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The layout that one suite wants."""

    name: str
    form: WrittenFormat | None
    """The format that it reads; None: any."""
    choose_path: Callable[[SuiteImage], str]
    """The path of an image, relative to the export's folder; its ending is that of `form`."""
    finish: Callable[[Path, Sequence[PlacedImage]], Sequence[PlacedImage]] = lambda _, placed: placed
    """Writes what the program reads besides images; gives all files of the folder, each with an image it is about."""
    group: str | None = None
    """The column whose values the suite keeps apart."""
    pointed_at: str = ""
    """The folder inside of the export that its program is pointed at."""


def require_plain_name(text: str, image: SuiteImage, *, suite: str) -> str:
    """A value that is a part of a path, as it is.

    Raises:
        InputError: It cannot be one: the suite's program would not find the file.
    """
    if text in {".", ".."} or any(char in text for char in '/\\\0\n:*?"<>|') or len(text.encode()) > MOST_NAME_BYTES:
        raise InputError(error_text(f"--format {suite}: {image.place}: {text!r} cannot be a file's name"))
    return text


MOST_NAME_BYTES = 200
"""Of one name, so that a number and an ending fit behind it."""
