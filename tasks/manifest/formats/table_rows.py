"""Rows of CSV and TSV files, whatever separates their cells."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain, islice

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow
from tasks.manifest.detect import DELIMITERS, SEPARATOR_LINE, find_delimiter
from tasks.manifest.header import TITLE_ROWS, check_header, describe_titles, find_header
from tasks.manifest.lines import LINE_BYTES, read_lines
from tasks.manifest.names import fold_name
from tasks.manifest.reading import Findings, ReadOptions
from tasks.manifest.source import ManifestFile

Lines = Iterator[tuple[int, str | Problem]]


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a table of texts; the first line that is not blank names the columns."""
    lines = read_lines(file.path, file.display)
    head = list(islice(lines, TITLE_ROWS))
    filled = [index for index, (_, line) in enumerate(head) if isinstance(line, Problem) or line.strip("\r\n")]
    if not filled:
        head += _take_blank_lines(lines)
        if not head or not str(head[-1][1]).strip("\r\n"):
            return
        filled = [len(head) - 1]
    first = filled[0]
    if isinstance(problem := head[first][1], Problem):
        yield problem
        return
    first += _find_title_end(head[first:], file.format, options)
    number, header = head[first]
    if first != filled[0]:
        findings.notes[f"{file.display}: {describe_titles(number)}"] = None
    # Blank lines instead of titles keep the numbers of the lines below true.
    head[:first] = [(at, "\n") for at, _ in head[:first]]
    delimiter = _choose_delimiter(str(header), file.format, options)
    # Replaced by an empty line: the line numbers stay true.
    if match := SEPARATOR_LINE.fullmatch(str(header).rstrip("\r\n")):
        head[first] = (number, "\n")
        delimiter = match[1]
    table = _Table(file.display, delimiter, options, findings)
    all_lines = chain(head, lines)
    yield from (
        table.read_unquoted(all_lines) if file.format == "tsv" and delimiter == "\t" else table.read_quoted(all_lines)
    )


def _take_blank_lines(lines: Lines) -> Iterator[tuple[int, str | Problem]]:
    """Lines up to the first one that is not blank."""
    for number, line in lines:
        yield number, line
        if isinstance(line, Problem) or line.strip("\r\n"):
            return


def _find_title_end(head: list[tuple[int, str | Problem]], kind: str, options: ReadOptions) -> int:
    """Count the title lines before the one that names the columns."""
    rows: list[list[str]] = []
    for _, line in head:
        if isinstance(line, Problem):
            break
        rows.append(_split_header(line, _choose_delimiter(line, kind, options)))
    return find_header(rows, options)


def _choose_delimiter(header: str, kind: str, options: ReadOptions) -> str:
    """Choose the delimiter that the file's name implies, unless only another one gives a column of prompts."""
    usual = "\t" if kind == "tsv" else ","
    wanted = {name for name, meaning in options.columns.items() if meaning == "prompt"}
    names = {delimiter: _split_header(header, delimiter) for delimiter in (usual, *DELIMITERS)}
    if found := next((delimiter for delimiter, cells in names.items() if wanted & set(map(fold_name, cells))), None):
        return found
    # The names that the user gives may be misspelt, or those of other files.
    if check_header(names[usual], "", None, ReadOptions()) is None:
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


class _Table:
    """Makes rows of the records of one file."""

    def __init__(self, file: str, delimiter: str, options: ReadOptions, findings: Findings) -> None:
        self._file = file
        self._delimiter = delimiter
        self._options = options
        self._findings = findings
        self._header: list[str] | None = None

    def read_unquoted(self, lines: Lines) -> Iterator[RawRow | Problem]:
        """Without quoting: in real collections a quote in a TSV file is a part of the text."""
        return self._read(
            (number, line if isinstance(line, Problem) else line.rstrip("\r\n").split("\t"))
            for number, line in lines
            if isinstance(line, Problem) or line.strip("\r\n")
        )

    def read_quoted(self, lines: Lines) -> Iterator[RawRow | Problem]:
        """With the quoting of CSV."""
        return self._read(_read_records(lines, self._file, self._delimiter))

    def _read(self, records: Iterator[tuple[int, list[str] | Problem]]) -> Iterator[RawRow | Problem]:
        for line, cells in records:
            if isinstance(cells, Problem):
                yield cells
            elif self._header is None:
                self._header = [name.strip() for name in cells]
                if problem := check_header(self._header, self._file, line, self._options):
                    yield problem
                    return
            elif [cell.strip() for cell in cells] == self._header:
                # Files that were put one behind the other bring their headers along.
                self._findings.count("the names of the columns stand here once more and are no row", line)
            elif any(cell.strip() for cell in cells) or len(self._header) == 1:
                yield self._name_cells(self._header, cells, line)

    def _name_cells(self, header: list[str], cells: list[str], line: int) -> RawRow | Problem:
        while len(cells) > len(header) and not cells[-1].strip():
            cells = cells[:-1]  # a separator at the end of a line begins a cell that nobody filled
        if len(cells) > len(header) == 1:
            self._findings.count("the table has one column, so its separator is a part of the text", line)
            cells = [self._delimiter.join(cells)]
        if len(cells) > len(header):
            return self._problem(
                line,
                f"has {len(cells)} cells, the header has {len(header)} columns; "
                f'a cell that holds {self._delimiter!r} needs straight quotes (") around it',
            )
        if len(cells) == 1 < len(header):
            # A row without its last cells is common; one that other signs separate is another table.
            other = next((sign for sign in DELIMITERS if cells[0].count(sign) == len(header) - 1), None)
            if other is not None and other != ",":
                return self._problem(
                    line, f"has 1 cell, the header has {len(header)} columns; is it separated by {other!r}?"
                )
        missing = [""] * (len(header) - len(cells))
        return RawRow(line, dict(zip(header, [*cells, *missing], strict=True)), is_table=True)

    def _problem(self, line: int, message: str) -> Problem:
        return Problem(self._file, line, None, message)


def _explain_error(reason: str) -> str:
    if "end of data" in reason:
        return "a quoted cell is not closed"
    if "new-line character" in reason:
        return "a bare carriage return stands outside of quotes; save the file with one kind of line ends"
    return reason


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

    # Python's own limit, 128 KiB a cell, is lower than that of a line here; it holds for the whole process.
    csv.field_size_limit(LINE_BYTES)
    # `strict`: else a quote that is not closed swallows the rest of the file as one prompt.
    reader = csv.reader(pass_good_lines(), strict=True, delimiter=delimiter)
    start = 1
    while True:
        broken: Problem | None = None
        cells: list[str] | None = None
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            reason = _explain_error(str(exc))
            broken = Problem(file, start, None, f"is not CSV ({reason})")
        yield from ((start, problem) for problem in bad_lines)
        bad_lines.clear()
        if broken is not None:
            yield start, broken
        if cells is None:
            return
        if cells:
            yield start, cells
        # A quoted cell may go over several lines.
        start = reader.line_num + 1
