"""Rows of JSON: lists, objects with a list of rows, maps of prompts to their settings, and JSON Lines.

A JSON file is scanned value by value, so each row knows the line that it begins on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow
from tasks.manifest.formats.json_scanner import JsonScanner, load_json
from tasks.manifest.lines import read_lines
from tasks.manifest.names import find_alias, holds_prompts
from tasks.manifest.reading import Findings, ReadOptions, parse_columns
from tasks.manifest.requests import ENVELOPES
from tasks.manifest.source import ManifestFile

JSON_BYTES = 64 * 1024 * 1024
"""A JSON file can only be read whole; a larger one belongs into JSONL."""
ROW_LISTS = ("prompts", "rows", "items", "data", "requests", "records", "images")
"""Keys of an object under which its rows are, the first one that holds a list."""


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a JSON or JSON Lines file."""
    return _read_lines(file) if file.format == "jsonl" else _read_file(file, findings)


def _read_lines(file: ManifestFile) -> Iterator[RawRow | Problem]:
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem):
            yield line
        elif line.strip():
            try:
                yield _build_row(load_json(line.rstrip("\r\n").lstrip("\ufeff")), number, file.display)
            except (ValueError, RecursionError) as exc:
                yield Problem(file.display, number, None, f"is not JSON ({_explain(exc)})")


def _read_file(file: ManifestFile, findings: Findings) -> Iterator[RawRow | Problem]:
    if file.path.stat().st_size > JSON_BYTES:
        limit = f"is larger than {JSON_BYTES // 2**20} MiB; write it as JSONL, one row a line"
        yield Problem(file.display, None, None, limit)
        return
    try:
        text = file.path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        yield Problem(file.display, None, None, f"is not UTF-8 (byte {exc.start + 1}); convert it to UTF-8")
        return
    scanner = JsonScanner(text)
    try:
        yield from _read_document(scanner, file.display, findings)
    except (ValueError, RecursionError) as exc:
        line = getattr(exc, "lineno", None) or scanner.line
        yield Problem(file.display, line, None, f"is not JSON ({_explain(exc)})")


def _read_document(scanner: JsonScanner, file: str, findings: Findings) -> Iterator[RawRow | Problem]:
    scanner.skip_space()
    if scanner.peek() == "[":
        for value in scanner.read_list():
            yield _build_row(value, scanner.line, file)
    elif scanner.peek() == "{":
        yield from _read_object(scanner, file, findings)
    else:
        yield _build_row(scanner.read_value(), scanner.line, file)
    # Objects one after the other, as `jq` writes them over several lines.
    while scanner.skip_space():
        yield _build_row(scanner.read_value(), scanner.line, file)


def _read_object(scanner: JsonScanner, file: str, findings: Findings) -> Iterator[RawRow | Problem]:
    """An object: what holds a list of rows, a single row, or a map of prompts to their settings."""
    start, line = scanner.position, scanner.line
    whole = scanner.read_value()
    key = next((name for name in ROW_LISTS if isinstance(whole.get(name), list)), None)
    if key is None or (key != "prompts" and holds_prompts(whole)):
        yield from _read_map(whole, scanner.read_key_lines(start), line, file)
        return
    try:
        defaults = _take_settings(whole, key, findings)
    except ValueError as exc:
        yield Problem(file, line, None, str(exc))
        return
    end = scanner.position
    scanner.go_to(start)
    for name in scanner.read_keys():
        if name != key:
            scanner.read_value()
            continue
        for value in scanner.read_list():
            row = _build_row(value, scanner.line, file)
            yield RawRow(row.line, row.cells, defaults=defaults) if isinstance(row, RawRow) else row
    scanner.go_to(end)


def _take_settings(whole: dict[str, Any], key: str, findings: Findings) -> dict[str, Any]:
    """The `defaults` beside a list of rows; its `columns` go to the findings.

    Raises:
        ValueError: There is something else that no row can have said.
    """
    defaults, columns = whole.get("defaults", {}), whole.get("columns", {})
    if not isinstance(defaults, dict) or not isinstance(columns, dict):
        raise ValueError("defaults and columns are objects of named values")  # noqa: TRY004  a problem of the file
    findings.columns.update(parse_columns(columns))
    if clash := [name for name in whole if name != key and find_alias(name) and not isinstance(whole[name], list)]:
        raise ValueError(f'{clash[0]!r} stands beside {key!r}; what holds for every row goes under "defaults"')
    for name in whole.keys() - {key, "defaults", "columns"}:
        findings.notes[f"{name!r} beside the list of {key} is not a part of any row and was left out"] = None
    return defaults


def _read_map(whole: dict[str, Any], lines: dict[str, int], line: int, file: str) -> Iterator[RawRow | Problem]:
    if not whole:
        return
    if holds_prompts(whole) or "messages" in whole or any(isinstance(whole.get(name), dict) for name in ENVELOPES):
        yield RawRow(line, whole)
    elif all(value is None or isinstance(value, dict) for value in whole.values()):
        for name, facts in whole.items():
            cells = facts or {}
            # With a prompt of its own, the key is the row's name.
            yield RawRow(lines[name], {"id" if holds_prompts(cells) else "prompt": name, **cells})
    else:
        keys = ", ".join(list(whole)[:5])
        yield Problem(
            file,
            line,
            None,
            f'holds no list of rows (found: {keys}); write [rows], {{"prompts": [rows]}}, or {{"a prompt": {{"width": 512}}}}',
        )


def _build_row(row: Any, number: int, file: str) -> RawRow | Problem:
    if isinstance(row, str):
        return RawRow(number, {"prompt": row})
    if isinstance(row, dict):
        return RawRow(number, row)
    return Problem(file, number, None, "is neither an object nor a text")


def _explain(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    column = getattr(exc, "colno", None)
    reason = getattr(exc, "msg", None) or str(exc)
    return f"column {column}: {reason}" if column else reason
