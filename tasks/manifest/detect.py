"""The format of a manifest: by the end of its name, corrected by what stands in it; on standard input by that alone."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.manifest.names import holds_prompts
from tasks.manifest.plain_copy import get_unpacked_name

FORMATS = {
    "yaml": "tasks.manifest.formats.yaml_rows",
    "jsonl": "tasks.manifest.formats.json_rows",
    "json": "tasks.manifest.formats.json_rows",
    "csv": "tasks.manifest.formats.table_rows",
    "tsv": "tasks.manifest.formats.table_rows",
    "text": "tasks.manifest.formats.plain_text",
    "parquet": "tasks.manifest.formats.parquet_rows",
    "excel": "tasks.manifest.formats.excel_rows",
}
"""The module that reads each format; loaded when a manifest of it is read."""
TEXT_FORMATS = frozenset({"yaml", "jsonl", "json", "csv", "tsv", "text"})

EXTENSIONS = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "text",
    ".md": "text",
    ".parquet": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".xls": "excel",
    ".ods": "excel",
}
SNIFFED_CHARS = 64_000
LONGEST_HEADER_NAME = 40
DELIMITERS = (",", ";", "\t", "|")
SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
"""Excel's own first line, which says what separates the cells."""

_YAML = re.compile(r"(---|%YAML|-)(\s|$)|[\"']?(defaults|template|matrix|prompts|columns)[\"']?\s*:")
_NESTED = re.compile(r":\s*[\[{]")
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def get_named_format(name: str) -> str | None:
    """The format that a file's name ends in, a compression aside; None for none of ours."""
    return EXTENSIONS.get(Path(get_unpacked_name(name)).suffix.lower())


def detect_format(head: bytes, named: str | None) -> str:
    """The format of a file that begins with `head`, decoded text aside.

    Args:
        head: Its first bytes.
        named: The format that its name says; None for standard input, where text is what remains when in doubt.
    """
    # The bytes before the name: files are renamed, and downloads lose their endings.
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(_EXCEL):
        return "excel"
    if named in {"json", "jsonl"}:
        return _detect_json(head.decode("utf-8-sig", "replace"), named)
    if named is None:
        # Standard input has no name.
        return _sniff(head.decode("utf-8-sig", "replace").lstrip("\ufeff"))
    return named


def _detect_json(text: str, named: str) -> str:
    """JSON Lines are often called .json, and a JSON list .jsonl."""
    text = text.lstrip("\ufeff \t\r\n")
    if text.startswith("["):
        # A line of its own that begins so is no row, so this is a list.
        return "json"
    first, _, rest = text.partition("\n")
    if named == "jsonl":
        # One line that holds lists or objects may be all of the rows.
        # A head that is cut may belong to a long first line.
        is_whole = len(text) < SNIFFED_CHARS and not rest.strip() and bool(_NESTED.search(first))
        return "json" if is_whole or first.strip() == "{" else "jsonl"
    is_line = first.rstrip().endswith(("}", '"')) and rest.lstrip().startswith(("{", '"'))
    return "jsonl" if is_line and first.count("{") == first.count("}") else "json"


def _sniff(text: str) -> str:
    # A comment at the top says nothing about the format.
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    first = next(lines, "").strip("\r\n")
    if first.lstrip().startswith("{"):
        return _detect_json(text, "jsonl")
    if first.lstrip().startswith("["):
        return "json"
    if _YAML.match(first):
        return "yaml"
    if SEPARATOR_LINE.fullmatch(first):
        return "csv"
    if delimiter := find_delimiter(first):
        return "tsv" if delimiter == "\t" else "csv"
    return "text"


def find_delimiter(header: str) -> str | None:
    """Find the delimiter of a line that is the header of a table of prompts; None where it is none."""
    for delimiter in DELIMITERS:
        names = [cell.strip(' "') for cell in header.split(delimiter)]
        # A prompt may have commas too: a header is short names, one of which means the prompt.
        if len(names) > 1 and holds_prompts(names) and all(map(_is_name, names)):
            return delimiter
    return None


def _is_name(cell: str) -> bool:
    """True if a cell can be the name of a column, and is not a part of a sentence."""
    return len(cell) <= LONGEST_HEADER_NAME and len(cell.split()) <= 3  # noqa: PLR2004  as `Number of images`
