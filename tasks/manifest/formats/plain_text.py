"""Rows of plain text: one prompt a line, and what people and tools write between prompts.

Comments, rules, code fences, bullets and quotes are no prompts; lines of options and A1111's infotext are rows of
columns. Each is told once with the number of its lines. `--literal` takes every line as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow
from tasks.manifest.formats.infotext import read_infotext
from tasks.manifest.formats.line_options import read_line
from tasks.manifest.formats.text_survey import Survey, find_bullet, find_skip_reason, get_quoted, survey_lines
from tasks.manifest.lines import is_visible, read_lines
from tasks.manifest.reading import LITERAL, Findings, ReadOptions
from tasks.manifest.source import ManifestFile

_NO_COLUMNS = "is plain text, in which each line is a prompt and no column is called"
_SEPARATOR = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""Characters at which other programs end a line."""


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a text file."""
    if options.literal and options.prompt_column is None:
        yield from _read_literally(file)
        return
    # A first pass: bullets on all lines are marks of a list, on one line a part of the prompt.
    survey = survey_lines(file, options.prompt_column)
    if survey.other is not None and not options.literal:
        line, reason = survey.other
        yield Problem(file.display, line, None, f"{reason}, or say --literal")
    elif options.prompt_column is not None and (options.literal or not survey.is_named):
        yield Problem(file.display, None, None, f"{_NO_COLUMNS} {options.prompt_column!r}; leave --prompt-column out")
    elif survey.has_infotext:
        yield from read_infotext(file, findings)
    else:
        yield from _Reader(file, survey, findings, options.prompt_column or "prompt").read()


def _read_literally(file: ManifestFile) -> Iterator[RawRow | Problem]:
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem):
            yield line
        elif is_visible(line):
            yield RawRow(number, {"prompt": line.rstrip("\r\n")})


class _Reader:
    """Reads the prompts of one file, as its survey says."""

    def __init__(self, file: ManifestFile, survey: Survey, findings: Findings, column: str) -> None:
        self._file = file
        self._column = column
        self._survey = survey
        self._findings = findings

    def read(self) -> Iterator[RawRow | Problem]:
        """The rows; each is held until the next line does not go on with it."""
        held: tuple[int, str] | None = None
        for number, line in read_lines(self._file.path, self._file.display):
            text = "" if isinstance(line, Problem) else line.rstrip("\r\n")
            if not isinstance(line, Problem) and self._is_left_out(text, number):
                continue
            if text and held is not None and self._survey.has_list and find_bullet(text) is None:
                self._count("indented lines go on with the prompt above them", number)
                held = held[0], f"{held[1]} {text.strip()}"
                continue
            # In the order of the file: the prompt that is held stands before a line that cannot be read.
            if held is not None:
                yield self._build_row(*held)
            if isinstance(line, Problem):
                yield line
            held = None if isinstance(line, Problem) else (number, self._strip(text, number))
        if held is not None:
            yield self._build_row(*held)

    def _is_left_out(self, text: str, number: int) -> bool:
        """True for a line that is no prompt; which kind it is, is counted."""
        if number <= self._survey.front_end:
            reason = "the settings at the top of a page (title and the like) were left out"
        elif number == self._survey.name_line:
            reason = "the name of a column on the first line is no prompt"
        elif not text.strip():
            return True
        elif not is_visible(text):
            reason = "lines with nothing to see (zero-width or control characters) were left out"
        else:
            reason = find_skip_reason(text) or ""
        if reason:
            self._count(reason, number)
        return bool(reason)

    def _strip(self, text: str, number: int) -> str:
        """The line without what stands around each prompt of the file."""
        if (end := find_bullet(text)) is not None:
            if self._survey.has_list:
                self._count("bullets and numbers before prompts were left out", number)
                text = text[end:]
            else:
                self._findings.count(
                    "a bullet or number is kept as a part of the prompt, since other lines have none", number
                )
        if self._survey.has_quotes and (inner := get_quoted(text)) is not None:
            self._count("quotes around prompts were left out", number)
            text = inner
        return text

    def _build_row(self, number: int, text: str) -> RawRow | Problem:
        if _SEPARATOR.search(text):
            self._findings.count(
                "a character at which other programs end a line (U+2028 and the like) is read as a space", number
            )
        # Told, not joined: one prompt over several lines and several prompts look the same.
        if text.rstrip().endswith((",", "\\")):
            self._findings.count("lines that end in a comma or a backslash are prompts of their own", number)
        try:
            cells, told = read_line(text)
        except ValueError as exc:
            return Problem(self._file.display, number, None, f"holds options that cannot be read ({exc}); {LITERAL}")
        if told is not None:
            self._count(told, number)
        named = {self._column if name == "prompt" else name: cell for name, cell in cells.items()}
        return RawRow(number, named, is_table=len(cells) > 1)

    def _count(self, message: str, number: int) -> None:
        self._findings.count(f"{message}; {LITERAL}", number)
