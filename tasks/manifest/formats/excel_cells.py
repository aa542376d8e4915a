"""Cells of an .xlsx that the reader gives as empty: errors of formulas, and formulas without a value."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 1024 * 1024
OVERLAP_BYTES = 64 * 1024
"""A formula is at most 8,192 characters long, so no cell that is looked for is longer."""
MOST_FOUND = 1_000

_SHEET = re.compile(rb"<(?:\w+:)?sheet\s[^>]{0,1000}>")
_TARGET = re.compile(rb"<(?:\w+:)?Relationship\s[^>]{0,2000}>")
_ATTRIBUTE = re.compile(rb"([\w:]{1,40})\s*=\s*[\"']([^\"']{0,1000})[\"']")
_CELL = re.compile(
    rb"<c\s[^>]{0,200}?r=\"([A-Z]{1,3}\d{1,7})\"(?:"
    rb"[^>]{0,200}?t=\"e\""  # an error
    rb"|[^>]{0,200}>\s*<f(?:\s[^>]{0,500})?(?:/>|>[^<]{0,9000}</f>)\s*(?:<v>\s*</v>|<v\s*/>)?\s*</c>)"  # no value
)


def find_lost_cells(path: Path, index: int) -> list[str]:
    """Names of such cells, as `B4`, in the sheet of this place in the workbook; none for other kinds of files."""
    try:
        with zipfile.ZipFile(path) as packed:
            member = _find_member(packed, index)
            return [] if member is None else list(dict.fromkeys(_search(packed, member)))
    # The workbook itself was read; what is missing here are only words about it.
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, ValueError, EOFError, OSError):
        return []


def _find_member(packed: zipfile.ZipFile, index: int) -> str | None:
    sheets = [_read_attributes(tag) for tag in _SHEET.findall(packed.read("xl/workbook.xml"))]
    links = map(_read_attributes, _TARGET.findall(packed.read("xl/_rels/workbook.xml.rels")))
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    if index >= len(sheets):
        return None
    target = targets.get(next((value for name, value in sheets[index].items() if name.endswith(":id")), ""), "")
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _read_attributes(tag: bytes) -> dict[str, str]:
    return {name.decode(): value.decode("utf-8", "replace") for name, value in _ATTRIBUTE.findall(tag)}


def _search(packed: zipfile.ZipFile, member: str) -> Iterator[str]:
    found, held = 0, b""
    with packed.open(member) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            held += chunk
            for match in _CELL.finditer(held):
                yield match[1].decode()
                found += 1
                if found >= MOST_FOUND:
                    return
            held = held[-OVERLAP_BYTES:]
