"""Rows of JSONL, JSON, CSV, TSV and plain text files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow, check_header
from tasks.manifest.lines import LINE_BYTES, read_lines
from tasks.manifest.source import Manifest

JSON_BYTES = 64 * 1024 * 1024
"""A JSON list can only be read whole; a larger one belongs into JSONL."""


def read_rows(manifest: Manifest) -> Iterator[RawRow | Problem]:
    """The rows of a text manifest, whichever of the formats it has."""
    return {"jsonl": _jsonl, "json": _json, "csv": _csv, "tsv": _tsv, "text": _text}[manifest.format](manifest)


def _text(manifest: Manifest) -> Iterator[RawRow | Problem]:
    for number, line in read_lines(manifest.path, manifest.display):
        if isinstance(line, Problem):
            yield line
        elif line.strip():
            yield RawRow(number, {"prompt": line.rstrip("\r\n")})


def _jsonl(manifest: Manifest) -> Iterator[RawRow | Problem]:
    for number, line in read_lines(manifest.path, manifest.display):
        if isinstance(line, Problem):
            yield line
        elif line.strip():
            try:
                yield _json_row(_loaded(line.rstrip("\r\n")), number, manifest.display)
            except (ValueError, RecursionError) as exc:
                yield Problem(manifest.display, number, None, f"is not JSON ({_json_reason(exc)})")


def _json(manifest: Manifest) -> Iterator[RawRow | Problem]:
    if manifest.path.stat().st_size > JSON_BYTES:
        limit = f"is larger than {JSON_BYTES // 2**20} MiB; write it as JSONL, one row a line"
        yield Problem(manifest.display, None, None, limit)
        return
    try:
        rows = _loaded(manifest.path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as exc:
        yield Problem(manifest.display, None, None, f"is not UTF-8 (byte {exc.start + 1}); convert it to UTF-8")
        return
    except (ValueError, RecursionError) as exc:
        line = getattr(exc, "lineno", None)
        yield Problem(manifest.display, line, None, f"is not JSON ({_json_reason(exc)})")
        return
    if not isinstance(rows, list):
        yield Problem(manifest.display, 1, None, "holds no list of rows")
        return
    for number, row in enumerate(rows, start=1):
        yield _json_row(row, number, manifest.display)


def _loaded(text: str) -> Any:
    """The value of a JSON text; NaN, which Python and R write for a missing number, is null."""
    value = json.loads(text, parse_constant=_constant, object_pairs_hook=_object)
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half of a character, as \\ud83d without its other half") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return value


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is not a number")


def _json_row(row: Any, number: int, file: str) -> RawRow | Problem:
    if isinstance(row, str):
        return RawRow(number, {"prompt": row})
    if isinstance(row, dict):
        return RawRow(number, row)
    return Problem(file, number, None, "is neither an object nor a text")


def _json_reason(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    column = getattr(exc, "colno", None)
    reason = getattr(exc, "msg", None) or str(exc)
    return f"column {column}: {reason}" if column else reason


def _tsv(manifest: Manifest) -> Iterator[RawRow | Problem]:
    """Without quoting: in real collections a quote in a TSV file is a part of the text."""
    header: list[str] | None = None
    for number, line in read_lines(manifest.path, manifest.display):
        if isinstance(line, Problem):
            yield line
            if header is None:
                return
        elif line.strip("\r\n"):
            cells = line.rstrip("\r\n").split("\t")
            if header is None:
                header = [name.strip() for name in cells]
                if problem := check_header(header, manifest.display, number):
                    yield problem
                    return
            else:
                yield _named(header, cells, number, manifest.display)


def _csv(manifest: Manifest) -> Iterator[RawRow | Problem]:
    bad_lines: list[Problem] = []

    def good_lines() -> Iterator[str]:
        for _, line in read_lines(manifest.path, manifest.display):
            if isinstance(line, Problem):
                bad_lines.append(line)
                yield "\n"  # keeps the reader's line numbers true
            else:
                yield line

    csv.field_size_limit(LINE_BYTES)
    reader = csv.reader(good_lines(), strict=True)
    header: list[str] | None = None
    start = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            reason = "a quoted cell is not closed" if "end of data" in str(exc) else str(exc)
            yield from bad_lines
            yield Problem(manifest.display, start, None, f"is not CSV ({reason})")
            return
        yield from bad_lines
        if cells is None or (bad_lines and header is None):
            return
        bad_lines.clear()
        line, start = start, reader.line_num + 1
        if not cells:
            continue
        if header is None:
            header = [name.strip() for name in cells]
            if problem := check_header(header, manifest.display, line):
                yield problem
                return
        else:
            yield _named(header, cells, line, manifest.display)


def _named(header: list[str], cells: list[str], line: int, file: str) -> RawRow | Problem:
    if len(cells) > len(header):
        return Problem(file, line, None, f"has {len(cells)} cells, the header has {len(header)} columns")
    return RawRow(line, dict(zip(header, cells, strict=False)))
