"""Names of exported files: a template over the columns, made safe for every file system, with all collisions told.

A value never makes a folder or leaves the target; only the template's own slashes make folders.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from string import Formatter
from typing import Any

from sqlalchemy import RowMapping

from tasks.core.errors import InputError
from tasks.core.records import JobState
from tasks.core.safe_text import error_text
from tasks.core.text import format_count
from tasks.metadata.columns import COLUMNS, build_plain_row
from tasks.metadata.exports.conversion import Conversion, get_extension
from tasks.metadata.exports.extra_columns import MOST_LISTED, read_extra
from tasks.metadata.exports.selection import SelectedJobs

DEFAULT_NAME = "{stem}.{ext}"
DEFAULT_SIZED_NAME = "{stem}-{size}.{ext}"
MOST_TEMPLATE_CHARACTERS = 1_000
MOST_PART_BYTES = 200
"""Of a file's or folder's name: file systems take 255, and an encrypted one less."""
MOST_SHOWN = 10
UNSET = "_"
"""In place of a value that a row does not have."""

_OWN = ("ext", "stem", "size")
_TABLE = frozenset(column.name for column in COLUMNS)
_ZEROS = re.compile(r"0[0-9]{1,2}d?")
_FORBIDDEN = re.compile(r'[<>:"|?*\\/]')
_JOINERS = "\u200c\u200d"
# Windows opens a device under such a name, whatever its extension.
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_TABLES = re.compile(r"metadata\.(csv|jsonl|parquet)", re.IGNORECASE)


class NameTemplate:
    """`{campaign}/{id}-{sample}.{ext}`: text with names of columns in braces."""

    def __init__(self, text: str) -> None:
        """Read the template.

        Raises:
            InputError: It leaves the target, does not end in the extension, or is no template.
        """
        if len(text) > MOST_TEMPLATE_CHARACTERS:
            raise InputError(f"--name has more than {MOST_TEMPLATE_CHARACTERS:,} characters")
        try:
            # Parsed and never formatted: `format` would reach into attributes.
            pieces = list(Formatter().parse(text))
        except ValueError as exc:
            raise InputError(f"--name {text!r}: {exc}; a brace itself is written twice") from None
        for _, name, spec, conversion in pieces:
            if conversion or (spec and not _ZEROS.fullmatch(spec)):
                raise InputError(f"--name: {{{name}}} takes leading zeros only, as in {{{name}:03}}")
        if any(part in {"", ".", ".."} for part in re.split(r"[/\\]", text)) or re.match(r"[A-Za-z]:", text):
            raise InputError(f"--name {text!r} is no path below --to: neither absolute, nor with empty parts or '..'")
        # Any other ending would tell viewers a format that the file does not have.
        if not text.endswith(".{ext}"):
            raise InputError(f"--name {text!r} does not end in .{{ext}}, the file's true extension")
        self._pieces = [(literal, name, spec) for literal, name, spec, _ in pieces]
        self.columns = [name for _, name, _, _ in pieces if name is not None]

    def build(self, values: Mapping[str, Any]) -> str:
        """The path of a file with these values, by lower-case names.

        Raises:
            InputError: A column with leading zeros holds no whole number.
        """
        filled = "".join(
            literal + ("" if name is None else _format_value(name, values.get(name.lower()), spec))
            for literal, name, spec in self._pieces
        )
        return "/".join(map(make_safe_part, filled.split("/")))


def _format_value(name: str, value: Any, spec: str | None) -> str:
    if value is None or not str(value).strip():
        return UNSET
    if spec:
        try:
            value = format(int(value), spec)
        except ValueError:
            raise InputError(f"--name: {{{name}:{spec}}}: {error_text(value, most_chars=80)!r} is no number") from None
    # Before the parts are cut at slashes: `../../etc` of a stranger's manifest is one name.
    return _FORBIDDEN.sub("_", str(value).strip())


def make_safe_part(text: str) -> str:
    """A file's or folder's name that Windows, macOS and Linux take, in any script; the extension stays."""
    text = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    # Emoji and Persian words hold joiners, which no terminal obeys; every other invisible character goes.
    text = "".join(char if char.isprintable() or char in _JOINERS else "_" for char in text)
    text = _shorten(text.strip(" ").rstrip(". "))
    # A leading dot hides the file, or means a folder above; and a table's name is the index's.
    if not text or text.startswith(".") or _DEVICES.fullmatch(text) or _TABLES.fullmatch(text):
        # An only dot stays: it begins the extension of a name that has nothing before it.
        text = f"_{text.removeprefix('.') if '.' in text[1:] else text}"
    return text


def _shorten(text: str) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= MOST_PART_BYTES:
        return text
    ending = PurePosixPath(text).suffix.encode("utf-8", "replace")
    ending = ending if len(ending) < MOST_PART_BYTES // 10 else b""
    # `ignore`: the cut may go through a character.
    kept = data[: MOST_PART_BYTES - len(ending)].decode("utf-8", "ignore").rstrip(". " + _JOINERS)
    return kept + ending.decode("utf-8", "replace")


def _collect_values(row: RowMapping, ext: str) -> dict[str, Any]:
    """Every value that a name may hold, by lower-case names; the table's columns come before the manifest's."""
    own = {"stem": PurePosixPath(row["file_name"]).stem, "ext": ext}
    return {name.lower(): value for name, value in read_extra(row).items()} | build_plain_row(row) | own


async def plan_names(jobs: SelectedJobs, template: NameTemplate, conversion: Conversion) -> dict[str, list[str]]:
    """The files of every image, one for each size, by job_id.

    Raises:
        InputError: A column is not known, or several images would get one name; all such names are told.
    """
    names: dict[str, list[str]] = {}
    taken: dict[str, str] = {}
    collisions: list[str] = []
    columns: dict[str, None] = {}
    unknown = {name.lower(): name for name in template.columns if name.lower() not in {*_TABLE, *_OWN}}
    async for page in jobs.read_pages():
        for row in page:
            if row["state"] != JobState.SUCCEEDED:
                continue
            for name in read_extra(row):
                unknown.pop(name.lower(), None)
                if len(columns) < MOST_LISTED:
                    columns.setdefault(name)
            values = _collect_values(row, get_extension(conversion.choose_format(row["format"])))
            built = [template.build({**values, "size": size}) for size in conversion.variants]
            names[row["job_id"]] = built
            collisions += find_collisions(taken, built, row["job_id"])
    if unknown:
        own = ", ".join(columns) or "none"
        known = f"Columns of the manifest: {own}. Of the table: {', '.join((*_OWN, *(c.name for c in COLUMNS)))}."
        raise InputError(error_text(f"--name: there is no column {next(iter(unknown.values()))!r}. {known}"))
    if collisions:
        raise InputError(tell_collisions(collisions, "--name", "add {sample}, {stem} or {size}"))
    return names


def find_collisions(taken: dict[str, str], names: Sequence[str], job_id: str) -> Iterator[str]:
    """A line for each name that is taken; those that are free are taken now."""
    for name in names:
        # Windows and macOS tell names apart without case.
        key = unicodedata.normalize("NFC", name.casefold())
        if key in taken:
            yield f"{name} (job_id {taken[key][:12]} and {job_id[:12]})"
        taken.setdefault(key, job_id)


def tell_collisions(collisions: list[str], option: str, remedy: str) -> str:
    """The message of collisions that an option leads to."""
    lines = [f"  {line}" for line in collisions[:MOST_SHOWN]]
    more = [f"  ... and {len(collisions) - MOST_SHOWN:,} more"] if len(collisions) > MOST_SHOWN else []
    head = f"{option} gives {format_count(len(collisions), 'file')} a name that another one has; {remedy}:"
    return "\n".join([head, *lines, *more])
