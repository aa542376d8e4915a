"""Rows of CSV and TSV files, whatever separates their cells."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow, check_header
from tasks.manifest.detect import DELIMITERS, SEPARATOR_LINE, find_delimiter
from tasks.manifest.lines import LINE_BYTES, read_lines
from tasks.manifest.names import fold_name
from tasks.manifest.reading import Findings, ReadOptions
from tasks.manifest.source import ManifestFile

Lines = Iterator[tuple[int, str | Problem]]


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a table of texts; the first line that is not blank names the columns."""
    lines = read_lines(file.path, file.display)
    skipped: list[tuple[int, str | Problem]] = []
    for number, line in lines:
        skipped.append((number, line))
        if isinstance(line, Problem):
            yield line
            return
        if line.strip("\r\n"):
            break
    else:
        return
    number, header = skipped[-1]
    delimiter = _choose_delimiter(str(header), file.format, options)
    if match := SEPARATOR_LINE.fullmatch(str(header).rstrip("\r\n")):
        skipped[-1] = (number, "\n")
        delimiter = match[1]
    all_lines = chain(skipped, lines)
    if file.format == "tsv" and delimiter == "\t":
        yield from _read_unquoted(all_lines, file.display, options)
    else:
        yield from _read_quoted(all_lines, file.display, delimiter, options)


def _choose_delimiter(header: str, kind: str, options: ReadOptions) -> str:
    """Choose the delimiter that the file's name implies, unless only another one gives a column of prompts."""
    usual = "\t" if kind == "tsv" else ","
    wanted = {name for name, meaning in options.columns.items() if meaning == "prompt"}
    names = {delimiter: _split_header(header, delimiter) for delimiter in (usual, *DELIMITERS)}
    if wanted:
        return next((delimiter for delimiter, cells in names.items() if wanted & set(map(fold_name, cells))), usual)
    if check_header(names[usual], "", None, options) is None:
        return usual
    if found := find_delimiter(header.rstrip("\r\n")):
        return found
    # No name of a prompt, whatever separates it: the error lists the names of the likeliest table.
    return max(names, key=lambda delimiter: len(names[delimiter])) if len(names[usual]) == 1 else usual


def _split_header(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return [header]


def _read_unquoted(lines: Lines, file: str, options: ReadOptions) -> Iterator[RawRow | Problem]:
    """Without quoting: in real collections a quote in a TSV file is a part of the text."""
    header: list[str] | None = None
    for number, line in lines:
        if isinstance(line, Problem):
            yield line
        elif line.strip("\r\n"):
            cells = line.rstrip("\r\n").split("\t")
            if header is None:
                header = [name.strip() for name in cells]
                if problem := check_header(header, file, number, options):
                    yield problem
                    return
            else:
                yield _name_cells(header, cells, number, file)


def _read_quoted(lines: Lines, file: str, delimiter: str, options: ReadOptions) -> Iterator[RawRow | Problem]:
    header: list[str] | None = None
    for line, cells in _read_records(lines, file, delimiter):
        if isinstance(cells, Problem):
            yield cells
        elif header is None:
            header = [name.strip() for name in cells]
            if problem := check_header(header, file, line, options):
                yield problem
                return
        elif any(cell.strip() for cell in cells) or len(header) == 1:
            yield _name_cells(header, cells, line, file)


def _read_records(lines: Lines, file: str, delimiter: str) -> Iterator[tuple[int, list[str] | Problem]]:
    """Records with the line that each begins on, and lines that cannot be read where they stand."""
    bad_lines: list[Problem] = []

    def pass_good_lines() -> Iterator[str]:
        for _, line in lines:
            if isinstance(line, Problem):
                bad_lines.append(line)
                yield "\n"  # keeps the reader's line numbers true
            else:
                yield line

    csv.field_size_limit(LINE_BYTES)
    reader = csv.reader(pass_good_lines(), strict=True, delimiter=delimiter)
    start = 1
    while True:
        broken: Problem | None = None
        cells: list[str] | None = None
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            reason = "a quoted cell is not closed" if "end of data" in str(exc) else str(exc)
            broken = Problem(file, start, None, f"is not CSV ({reason})")
        yield from ((start, problem) for problem in bad_lines)
        bad_lines.clear()
        if broken is not None:
            yield start, broken
        if cells is None:
            return
        if cells:
            yield start, cells
        start = reader.line_num + 1


def _name_cells(header: list[str], cells: list[str], line: int, file: str) -> RawRow | Problem:
    if len(cells) > len(header):
        # A separator at the end of a line begins a cell that nobody filled.
        if not any(cell.strip() for cell in cells[len(header) :]):
            return _name_cells(header, cells[: len(header)], line, file)
        return Problem(file, line, None, f"has {len(cells)} cells, the header has {len(header)} columns")
    if len(cells) == 1 < len(header):
        # A row without its last cells is common; one that other signs separate is another table.
        other = next((sign for sign in DELIMITERS if cells[0].count(sign) == len(header) - 1), None)
        if other is not None and other != ",":
            return Problem(
                file, line, None, f"has 1 cell, the header has {len(header)} columns; is it separated by {other!r}?"
            )
    missing = [""] * (len(header) - len(cells))
    return RawRow(line, dict(zip(header, [*cells, *missing], strict=True)), is_table=True)
