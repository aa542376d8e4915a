"""Blocks as A1111 and Civitai write them beside images: the prompt, `Negative prompt: ...`, `Steps: 20, Sampler: ...`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow
from tasks.manifest.lines import is_visible, read_lines
from tasks.manifest.reading import LITERAL, Findings
from tasks.manifest.source import ManifestFile

_POSITIVE = re.compile(r"\s*(?:positive(?:[ _]prompt)?|prompt)\s*\d*\s*:\s*(?=\S)", re.IGNORECASE)
_NEGATIVE = re.compile(r"\s*negative(?:[ _]prompt)?\s*\d*\s*:\s*", re.IGNORECASE)
_PARAMETERS = re.compile(r"\s*steps:\s*\d+\s*(,|$)", re.IGNORECASE)
_NAME = re.compile(r"[\s,]*([A-Za-z][\w \-/]*?)\s*:\s*")
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|[^,]*')


def is_infotext(line: str) -> bool:
    """True if a line can only be a part of such a block."""
    return bool(_NEGATIVE.match(line) or _PARAMETERS.match(line))


def read_infotext(file: ManifestFile, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a file of blocks; a blank line or a line of parameters ends a block."""
    block: list[tuple[int, str]] = []
    for number, line in read_lines(file.path, file.display):
        if isinstance(line, Problem):
            yield line
        elif is_visible(line):
            # Some tools leave no blank line between two images.
            if block and _POSITIVE.match(line):
                yield from _read_block(block, file.display, findings)
                block = []
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
    # Neither parameters nor a negative prompt: plain prompts between blocks.
    if not parameters and begin == len(texts):
        yield from (RawRow(number, {"prompt": _POSITIVE.sub("", text, count=1)}) for number, text in block)
        return
    findings.count(f"A1111's parameters were read as columns of the prompt before them; {LITERAL}", first)
    if not begin:
        yield Problem(file, first, None, f"holds the parameters of an image without its prompt; {LITERAL}")
        return
    cells: dict[str, Any] = _split_parameters(", ".join(parameters))
    if begin < len(texts):
        cells["negative_prompt"] = _NEGATIVE.sub("", "\n".join(texts[begin:]), count=1)
    cells["prompt"] = _POSITIVE.sub("", "\n".join(texts[:begin]), count=1)
    yield RawRow(first, cells, is_table=True)


def _split_parameters(text: str) -> dict[str, Any]:
    """The named values of a line of parameters; the first of a name counts."""
    cells: dict[str, Any] = {}
    position = 0
    while match := _NAME.match(text, position):
        try:
            # Civitai writes lists of its models as JSON, whose own commas end no value.
            value, position = (
                json.JSONDecoder().raw_decode(text, match.end()) if text[match.end()] in "[{" else (None, 0)
            )
        except (ValueError, IndexError, RecursionError):
            value, position = None, 0
        if value is None and (plain := _VALUE.match(text, match.end())):
            value, position = plain[0].strip().strip('"'), plain.end()
        cells.setdefault(match[1], value)
    return cells
