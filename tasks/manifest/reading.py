"""The user's wishes for the reading of a manifest, and the findings of that reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.core.configuration.yaml_file import locate_setting
from tasks.core.errors import InputError, PortableError
from tasks.core.records import Problem
from tasks.core.text import format_count
from tasks.manifest.named_columns import UnmetNames
from tasks.manifest.names import NAMES, find_alias, fold_name

CARRY, IGNORE, OPTION = "carry", "ignore", "option"
MEANINGS = (*NAMES, CARRY, IGNORE, OPTION)
LITERAL = "--literal makes each line a prompt"
LINES_SHOWN = 3
MOST_LISTED = 500
"""Names of columns that are listed; a file of rows with keys of their own each could have millions."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The user's wishes about columns and text."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """By folded name: a column of ours, `carry`, `ignore`, `option` or `option:NAME`."""
    literal: bool = False
    """Every line of a text file is a prompt as it stands."""
    encoding: str | None = None
    """Of text files; None: UTF-8, UTF-16 with its mark, and what is plainly Windows-1252."""
    prompt_column: str | None = None
    """As the command line writes it: a file or row without it is a problem."""
    left_out: tuple[str, ...] = ()
    """Columns to leave out, as the command line writes them."""
    configured: tuple[str, ...] = ()
    """Names of the configuration's `columns`; they may be those of other manifests."""


class UnknownMeaning(PortableError, ValueError):
    """Raised for a meaning that there is not; knows the column that it was given to."""

    def __init__(self, name: str, meaning: str) -> None:
        """Keep the column's name, as it is written, beside the text."""
        self.name = name
        super().__init__(f"{name!r}: {meaning!r} is not a meaning of a column; there are {', '.join(MEANINGS)}")


def parse_columns(columns: Mapping[Any, Any]) -> dict[str, str]:
    """A `columns:` mapping as `ReadOptions` holds it; null means `ignore`.

    Raises:
        UnknownMeaning: A meaning is none.
    """
    parsed = {}
    for name, meaning in columns.items():
        text = IGNORE if meaning is None else str(meaning).strip()
        known = find_alias(text)
        if text.partition(":")[0] in {CARRY, IGNORE, OPTION}:
            parsed[fold_name(str(name))] = text
        elif known is not None:
            parsed[fold_name(str(name))] = known[0]
        else:
            raise UnknownMeaning(str(name), text)
    return parsed


def build_read_options(
    configured: Mapping[str, str | None],
    *,
    file: str | None = None,
    ignore: str | None = None,
    prompt_column: str | None = None,
    literal: bool = False,
    encoding: str | None = None,
) -> ReadOptions:
    """Combine the configuration and the command line; the command line wins.

    Args:
        configured: `columns` of the configuration.
        file: Where the configuration stands, for messages.
        ignore: Names with commas between them.
        prompt_column: The column that holds the prompts.
        literal: See `ReadOptions`.
        encoding: See `ReadOptions`.

    Raises:
        InputError: The configuration gives a column a meaning that there is not, a name of the command line is empty
            or has two meanings, or there is no such encoding.
    """
    try:
        columns = parse_columns(configured)
    except UnknownMeaning as exc:
        place = "" if file is None else f"{locate_setting(file, ('columns', exc.name))}: "
        raise InputError(f"{place}columns: {exc}") from None
    if encoding is not None:
        _check_encoding(encoding)
    left_out = _split_names(ignore)
    if prompt_column is not None:
        _check_prompt_column(prompt_column, left_out)
        # One column holds the prompts: the command line's, in place of the configured one.
        columns = {name: meaning for name, meaning in columns.items() if meaning != "prompt"}
        columns[fold_name(prompt_column)] = "prompt"
    # Last: what the command line leaves out is left out, whatever the file says of it.
    columns |= dict.fromkeys(map(fold_name, left_out), IGNORE)
    return ReadOptions(columns, literal, encoding, prompt_column, left_out, tuple(map(str, configured)))


def _split_names(ignore: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (ignore or "").split(",") if fold_name(name))
    if ignore is not None and not names:
        raise InputError("--ignore-columns: names no column. Is a variable in it not set?")
    return names


def _check_prompt_column(name: str, left_out: Iterable[str]) -> None:
    if not fold_name(name):
        raise InputError("--prompt-column: names no column. Is a variable in it not set?")
    if fold_name(name) in map(fold_name, left_out):
        raise InputError(f"--prompt-column and --ignore-columns both name {name!r}; give one of them")


def _check_encoding(name: str) -> None:
    try:
        # Python knows the encoding's name only when it is used.
        "".encode(name)
    except (LookupError, UnicodeError):
        raise InputError(
            f"--encoding: there is no encoding {name!r}; usual ones are utf-8, cp1252, cp1251, utf-16"
        ) from None


@dataclass(slots=True)
class Findings:
    """Facts about the file that reading found, beside its rows."""

    used: dict[str, str] = field(default_factory=dict)
    """By the name in the file: the column, or `option:NAME`."""
    carried: dict[str, None] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    """By the name in the file: why."""
    notes: dict[str, None] = field(default_factory=dict)
    """Sentences for people, each once."""
    columns: dict[str, str] = field(default_factory=dict)
    """The file's own `columns:`, as `ReadOptions` holds them."""
    gates: dict[str, Any] = field(default_factory=dict)
    """`keep`, `reject` and `reroll` of the files."""
    unmet: UnmetNames = field(default_factory=UnmetNames)
    """Names that the user gave to columns, as long as no row has them."""
    asked: set[str] = field(default_factory=set)
    """Folded names of the columns that the user was asked about."""
    _counted: dict[str, tuple[int, list[int]]] = field(default_factory=dict)

    def count(self, message: str, line: int) -> None:
        """Count a line of which `message` tells; the note gives the number of such lines and the first few."""
        number, first = self._counted.get(message, (0, []))
        # A few lines as examples: a note must not grow with the file.
        self._counted[message] = (number + 1, [*first, line] if number < LINES_SHOWN else first)

    def close_counts(self, file: str) -> None:
        """Make notes of what was counted in a file."""
        for message, (number, first) in self._counted.items():
            lines = ", ".join(map(str, first)) + (", ..." if number > len(first) else "")
            self.notes[f"{file}: {message} ({format_count(number, 'line')}: {lines})"] = None
        self._counted.clear()

    def note_column(self, name: str, meaning: str) -> None:
        """List a column of the file under what is done with it."""
        self.unmet.meet(name)
        if len(self.used) + len(self.carried) + len(self.ignored) >= MOST_LISTED:
            return
        if meaning == CARRY:
            self.carried[name] = None
        elif meaning.partition(":")[0] == IGNORE:
            self.ignored[name] = meaning.partition(":")[2] or "left out as asked"
        else:
            self.used[name] = meaning

    def take_columns(self, columns: Mapping[Any, Any]) -> None:
        """Take over a file's own `columns:`.

        Raises:
            UnknownMeaning: A meaning is none.
        """
        self.columns.update(parse_columns(columns))
        self.unmet.expect_own(map(str, columns))

    def close(self, file: str) -> list[Problem]:
        """Note which of the user's names no row has had; those that were likely misspelt are problems."""
        found = [*self.used, *self.carried, *self.ignored]
        # Without any column there is another problem, which this one would only hide.
        if not found:
            return []
        self.notes |= dict.fromkeys(self.unmet.describe(file, found))
        return list(self.unmet.find_problems(file, found))

    def to_record(self) -> dict[str, Any]:
        """The columns as programs read them."""
        return {"used": dict(self.used), "carried": list(self.carried), "ignored": dict(self.ignored)}


def describe_columns(columns: Mapping[str, Any]) -> str:
    """One line for people: which columns are used, carried along and left out."""
    parts = [f"columns used: {_list_used(columns['used'])}"]
    if columns["carried"]:
        parts.append(f"carried along: {_list_names(columns['carried'])}")
    if columns["ignored"]:
        parts.append(f"left out: {_list_names(columns['ignored'])}")
    return "; ".join(parts)


def _list_used(used: Mapping[str, str]) -> str:
    return ", ".join(
        name if fold_name(name) == fold_name(column) else f"{name} as {column}" for name, column in used.items()
    )


def _list_names(names: Iterable[str]) -> str:
    shown = [name or "(a column without a name)" for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")  # noqa: PLR2004  a line's worth
