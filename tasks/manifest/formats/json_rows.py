"""Rows of JSON: lists, objects with a list of rows, maps of prompts to their settings, and JSON Lines.

A JSON file is scanned value by value, so each row knows the line that it begins on.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

from tasks.core.records import Problem
from tasks.core.text import locate_byte
from tasks.manifest.cell_values import show
from tasks.manifest.columns import RawRow
from tasks.manifest.formats.json_scanner import JsonScanner, explain_json_error, load_json
from tasks.manifest.formats.json_tables import is_header, name_cells, read_table
from tasks.manifest.lines import CONVERT, read_lines
from tasks.manifest.names import find_alias, holds_prompts
from tasks.manifest.reading import Findings, ReadOptions
from tasks.manifest.requests import is_request
from tasks.manifest.source import ManifestFile

JSON_BYTES = 64 * 1024 * 1024
"""A JSON file can only be read whole; a larger one belongs into JSONL."""
ROW_LISTS = ("prompts", "rows", "items", "data", "requests", "records", "images")
"""Keys of an object under which its rows are, the first one that holds a list."""


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a JSON or JSON Lines file."""
    return _read_lines(file) if file.format == "jsonl" else _read_file(file, options, findings)


def _read_lines(file: ManifestFile) -> Iterator[RawRow | Problem]:
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem):
            yield line
        elif line.strip():
            text = line.rstrip("\r\n").lstrip("\ufeff")
            try:
                values = _load_line(text)
            except (ValueError, RecursionError) as exc:
                yield Problem(file.display, number, None, f"is not JSON ({explain_json_error(exc)})")
            else:
                yield from (_build_row(value, number, file.display) for value in values)


def _load_line(text: str) -> list[Any]:
    """The values of a line: one, or several without a line end between them, or with a list's comma behind."""
    try:
        return [load_json(text)]
    except ValueError as exc:
        if getattr(exc, "msg", None) != "Extra data":
            raise
    scanner = JsonScanner(text)
    values = []
    while scanner.skip_space():
        values.append(scanner.read_value())
        scanner.skip_comma()
    return values


def _read_file(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    if file.path.stat().st_size > JSON_BYTES:
        limit = f"is larger than {JSON_BYTES // 2**20} MiB; write it as JSONL, one row a line"
        yield Problem(file.display, None, None, limit)
        return
    try:
        text = file.path.read_bytes().removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as exc:
        line, byte = locate_byte(exc.object, exc.start)
        yield Problem(file.display, line, None, f"is not UTF-8 ({byte}); {CONVERT}")
        return
    scanner = JsonScanner(text)
    try:
        yield from _read_document(scanner, file.display, options, findings)
    except (ValueError, RecursionError) as exc:
        line = getattr(exc, "lineno", None) or scanner.line
        yield Problem(file.display, line, None, f"is not JSON ({explain_json_error(exc)})")


def _read_document(
    scanner: JsonScanner, file: str, options: ReadOptions, findings: Findings
) -> Iterator[RawRow | Problem]:
    scanner.skip_space()
    if scanner.peek() == "[":
        yield from _read_list(scanner, file, options)
    elif scanner.peek() == "{":
        yield from _read_object(scanner, file, options, findings)
    else:
        yield _build_row(scanner.read_value(), scanner.line, file)
    # Objects one after the other, as `jq` writes them over several lines.
    scanner.skip_comma()
    while scanner.skip_space():
        yield _build_row(scanner.read_value(), scanner.line, file)
        scanner.skip_comma()


def _read_list(scanner: JsonScanner, file: str, options: ReadOptions) -> Iterator[RawRow | Problem]:
    """Rows of a list; where they are lists themselves, the first one names the columns."""
    names: list[str] | None = None
    for value in scanner.read_list():
        if not isinstance(value, list):
            yield _build_row(value, scanner.line, file)
        elif names is not None:
            try:
                yield RawRow(scanner.line, name_cells(names, value))
            except ValueError as exc:
                yield Problem(file, scanner.line, None, str(exc))
        elif is_header(value, options):
            names = value
        else:
            yield _build_row(value, scanner.line, file)


def _read_object(
    scanner: JsonScanner, file: str, options: ReadOptions, findings: Findings
) -> Iterator[RawRow | Problem]:
    """An object: what holds a list of rows, a single row, or a map of prompts to their settings."""
    start, line = scanner.position, scanner.line
    whole = scanner.read_value()
    try:
        table = read_table(whole, options)
    except ValueError as exc:
        yield Problem(file, line, None, str(exc))
        return
    if table is not None:
        yield from _place_rows(table, line, file)
        return
    key = _find_row_list(whole)
    # `data` or `images` beside a prompt is a column of a single row.
    if key is None or (key != "prompts" and holds_prompts(whole)):
        yield from _read_map(whole, scanner.read_key_lines(start), line, file)
        return
    try:
        defaults = _take_settings(whole, key, findings)
    except ValueError as exc:
        yield Problem(file, line, None, str(exc))
        return
    end = scanner.position
    # Read a second time, row by row: only so is each row's line known.
    scanner.go_to(start)
    for name in scanner.read_keys():
        if name != key:
            scanner.read_value()
            continue
        for value in scanner.read_list():
            row = _build_row(value, scanner.line, file)
            yield RawRow(row.line, row.cells, defaults=defaults) if isinstance(row, RawRow) else row
    scanner.go_to(end)


def _place_rows(rows: Iterator[dict[str, Any]], line: int, file: str) -> Iterator[RawRow | Problem]:
    """Rows whose values stand all over an object: they are told by the line of the object."""
    try:
        yield from (RawRow(line, cells) for cells in rows)
    except ValueError as exc:
        yield Problem(file, line, None, str(exc))


def _find_row_list(whole: dict[str, Any]) -> str | None:
    """The key of the list of rows: one of the usual ones, else the only list of objects with a prompt."""
    if usual := next((name for name in ROW_LISTS if isinstance(whole.get(name), list)), None):
        return usual
    found = [
        name
        for name, value in whole.items()
        if isinstance(value, list) and value and isinstance(value[0], dict) and is_request(value[0])
    ]
    return found[0] if len(found) == 1 and not is_request(whole) else None


def _take_settings(whole: dict[str, Any], key: str, findings: Findings) -> dict[str, Any]:
    """The `defaults` beside a list of rows; its `columns` go to the findings.

    Raises:
        ValueError: There is something else that no row can have said.
    """
    defaults, columns = whole.get("defaults", {}), whole.get("columns", {})
    if not isinstance(defaults, dict) or not isinstance(columns, dict):
        raise ValueError("defaults and columns are objects of named values")  # noqa: TRY004  a problem of the file
    findings.take_columns(columns)
    # A `width` beside the list would do nothing, and the images would have another size.
    if clash := [name for name in whole if name != key and find_alias(name) and not isinstance(whole[name], list)]:
        raise ValueError(f'{clash[0]!r} stands beside {key!r}; what holds for every row goes under "defaults"')
    for name in whole.keys() - {key, "defaults", "columns"}:
        findings.notes[f"{name!r} beside the list of {key} is not a part of any row and was left out"] = None
    return defaults


def _read_map(whole: dict[str, Any], lines: dict[str, int], line: int, file: str) -> Iterator[RawRow | Problem]:
    if not whole:
        return
    if is_request(whole):
        yield RawRow(line, whole)
    elif all(map(_is_facts, whole, whole.values())):
        for name, facts in whole.items():
            cells = facts or {}
            # With a prompt of its own, the key is the row's name.
            yield RawRow(lines[name], {"id" if is_request(cells) else "prompt": name, **cells})
    else:
        yield Problem(file, line, None, _explain_object(whole))


def _is_facts(name: str, facts: Any) -> bool:
    """True if an entry of a map is a row: a name with its prompt, or a prompt with its settings."""
    if isinstance(facts, dict):
        # A single word with facts that are no columns is a key of somebody's document.
        return not facts or is_request(facts) or " " in name.strip() or any(map(find_alias, facts))
    return facts is None


def _explain_object(whole: dict[str, Any]) -> str:
    if any(isinstance(value, dict) and "class_type" in value for value in whole.values()) or "nodes" in whole:
        return "is a workflow of ComfyUI; write the texts of its nodes as rows, one for each image"
    keys = ", ".join(list(whole)[:5])
    if all(isinstance(value, str) for value in whole.values()):
        return f'is a map of texts (found: {keys}); write each as {{"id": "...", "prompt": "..."}} in a list'
    return (
        f"holds no list of rows (found: {keys}); "
        'write [rows], {"prompts": [rows]}, or {"a prompt": {"width": 512}}'
    )


def _build_row(row: Any, number: int, file: str) -> RawRow | Problem:
    if isinstance(row, str):
        return RawRow(number, {"prompt": row})
    if isinstance(row, dict):
        return RawRow(number, row)
    if isinstance(row, list):
        reason = 'is neither an object nor a text; write {"prompt": "..."}, or name the columns in the first list'
        return Problem(file, number, None, reason)
    return Problem(file, number, None, f'{show(row)} is neither an object nor a text; write {{"prompt": "..."}}')
