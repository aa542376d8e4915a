"""Rows of plain text: one prompt a line, and what people and tools write between prompts.

Comments, rules, code fences and bullets are no prompts; lines of options (`--prompt ... --steps 30`, Midjourney's
`--ar 16:9`) and A1111's infotext are rows of columns. Each is told once with the number of its lines.
`--literal` takes every line as it stands.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow
from tasks.manifest.detect import find_delimiter
from tasks.manifest.lines import is_visible, read_lines
from tasks.manifest.names import find_alias
from tasks.manifest.reading import Findings, ReadOptions
from tasks.manifest.source import ManifestFile

LITERAL = "--literal makes each line a prompt"

_COMMENT = re.compile(r"\s*(#|//)")
_RULE = re.compile(r"\s*([-=*_~+.])(\s*\1){2,}\s*")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[\w+-]*\s*")
_BULLET = re.compile(r"\s*(?:[-*\u2022\u2023\u25e6\u2043+]|\d{1,6}[.)]|\[[ xX]?\])\s+(?=\S)")
_OPTION = re.compile(r"(?:^|\s)--([A-Za-z][\w-]*)(?=[\s=]|$)")
_NEGATIVE = re.compile(r"\s*negative prompt:\s*", re.IGNORECASE)
_PARAMETERS = re.compile(r"\s*steps:\s*\d+\s*(,|$)", re.IGNORECASE)
_PARAMETER = re.compile(r'\s*([A-Za-z][\w \-/]*?)\s*:\s*("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')

_MIDJOURNEY = {"no": "negative_prompt", "ar": "aspect_ratio", "seed": "seed", "aspect": "aspect_ratio"}


@dataclass(slots=True)
class _Survey:
    """Findings of a first pass over the file; they decide about marks that single lines leave open."""

    prompts: int = 0
    bulleted: int = 0
    has_infotext: bool = False
    header: tuple[int, str] | None = None


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a text file."""
    if options.literal:
        yield from _read_literally(file)
        return
    survey = _survey_lines(file)
    if survey.header is not None:
        line, delimiter = survey.header
        yield Problem(
            file.display,
            line,
            None,
            f"looks like the header of a table (names separated by {delimiter!r}); end the file's name in .csv, or say --literal",
        )
    elif survey.has_infotext:
        yield from _read_infotext(file, findings)
    else:
        yield from _read_prompts(file, survey, findings)


def _read_literally(file: ManifestFile) -> Iterator[RawRow | Problem]:
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem):
            yield line
        elif is_visible(line):
            yield RawRow(number, {"prompt": line.rstrip("\r\n")})


def _survey_lines(file: ManifestFile) -> _Survey:
    survey = _Survey()
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem) or not is_visible(line) or _skip_reason(line):
            continue
        survey.prompts += 1
        survey.bulleted += _BULLET.match(line) is not None
        survey.has_infotext |= bool(_NEGATIVE.match(line) or _PARAMETERS.match(line))
        if survey.prompts == 1 and (delimiter := find_delimiter(line.rstrip("\r\n"))):
            survey.header = number, delimiter
    return survey


def _skip_reason(line: str) -> str | None:
    """Why a line is no prompt; None where it is one."""
    if _FENCE.fullmatch(line):
        return f"code fences were left out; {LITERAL}"
    if _COMMENT.match(line):
        return f"comments (# or //) were left out; {LITERAL}"
    if _RULE.fullmatch(line):
        return f"rules between prompts were left out; {LITERAL}"
    return None


def _read_prompts(file: ManifestFile, survey: _Survey, findings: Findings) -> Iterator[RawRow | Problem]:
    is_list = survey.bulleted == survey.prompts
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem):
            yield line
            continue
        text = line.rstrip("\r\n")
        if not is_visible(text):
            if text.strip():
                findings.count("lines with nothing to see (zero-width or control characters) were left out", number)
        elif reason := _skip_reason(text):
            findings.count(reason, number)
        else:
            if bullet := _BULLET.match(text):
                if is_list:
                    text = text[bullet.end() :]
                findings.count(_tell_bullet(is_list=is_list), number)
            yield _read_line(text, number, file.display, findings)


def _tell_bullet(*, is_list: bool) -> str:
    if is_list:
        return f"bullets and numbers before prompts were left out; {LITERAL}"
    return "a bullet or number is kept as a part of the prompt, since other lines have none"


def _read_line(text: str, number: int, file: str, findings: Findings) -> RawRow | Problem:
    if not _OPTION.search(text):
        return RawRow(number, {"prompt": text})
    findings.count(f"options such as --steps were read as columns; {LITERAL}", number)
    try:
        cells = _split_options(text)
    except ValueError as exc:
        return Problem(file, number, None, f"holds options that cannot be read ({exc}); {LITERAL}")
    return RawRow(number, cells, is_table=True)


def _split_options(text: str) -> dict[str, Any]:
    """The columns of a line of options.

    Raises:
        ValueError: An option stands there twice, or a quote is not closed.
    """
    found = list(_OPTION.finditer(text))
    cells: dict[str, Any] = {}
    if words := text[: found[0].start()].strip():
        cells["prompt"] = words
    for index, match in enumerate(found):
        end = found[index + 1].start() if index + 1 < len(found) else len(text)
        value = _unquote(text[match.end() : end].strip().removeprefix("=").strip())
        name = _name_option(match[1])
        if name in cells:
            raise ValueError(f"--{match[1]} stands twice")
        cells[name] = value or True  # an option without a value is switched on
    return cells


def _name_option(name: str) -> str:
    plain = _MIDJOURNEY.get(name.lower(), name.replace("-", "_"))
    return plain if len(plain) > 1 and find_alias(plain) else f"--{name}"


def _unquote(text: str) -> str:
    if text[:1] not in {'"', "'"}:
        return text
    parts = shlex.split(text)
    return " ".join(parts)


def _read_infotext(file: ManifestFile, findings: Findings) -> Iterator[RawRow | Problem]:
    """Blocks as A1111 writes them beside images: the prompt, `Negative prompt: ...`, `Steps: 20, Sampler: ...`."""
    block: list[tuple[int, str]] = []
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem):
            yield line
        elif is_visible(line):
            block.append((number, line.rstrip("\r\n")))
            if _PARAMETERS.match(line):
                yield from _read_block(block, file.display, findings)
                block = []
        elif block:
            yield from _read_block(block, file.display, findings)
            block = []
    if block:
        yield from _read_block(block, file.display, findings)


def _read_block(block: list[tuple[int, str]], file: str, findings: Findings) -> Iterator[RawRow | Problem]:
    first = block[0][0]
    parameters = [text for _, text in block if _PARAMETERS.match(text)]
    texts = [text for _, text in block if not _PARAMETERS.match(text)]
    begin = next((index for index, text in enumerate(texts) if _NEGATIVE.match(text)), len(texts))
    if not parameters and begin == len(texts):
        yield from (RawRow(number, {"prompt": text}) for number, text in block)
        return
    findings.count(f"A1111's parameters were read as columns of the prompt before them; {LITERAL}", first)
    cells: dict[str, Any] = {}
    if begin < len(texts):
        cells["negative_prompt"] = _NEGATIVE.sub("", "\n".join(texts[begin:]), count=1)
    for match in _PARAMETER.finditer(", ".join(parameters)):
        cells.setdefault(match[1], match[2].strip().strip('"'))
    if begin:
        cells["prompt"] = "\n".join(texts[:begin])
    yield (
        RawRow(first, cells, is_table=True)
        if begin
        else Problem(file, first, None, f"holds the parameters of an image without its prompt; {LITERAL}")
    )
