"""The lines of a YAML file beside its values: what cannot be read, what a comment cut off, and how to quote a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from tasks.core.records import Problem
from tasks.manifest.lines import read_lines
from tasks.manifest.reading import Findings

UNCLOSED = {"while parsing a flow sequence", "while parsing a flow mapping", "while scanning a quoted scalar"}
"""The parser's words for what it was in the middle of (libyaml 0.2.5)."""
MOST_QUOTED = 50
"""Lines that are looked up for a message: each costs a walk through the file."""
MOST_COMMENTS = 20_000
LONGEST_QUOTED = 200

_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COMMENT = re.compile(r"\S\s+#")
_PLAIN = re.compile(r"(\s*(?:-\s+)?([A-Za-z_]+:\s+)?)(\S.*)")
# A text that is one in quotes already, or the mark of a block of text, is not what is wrong with its line.
_WHOLE = re.compile(r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[|>][-+\d]*)\s*(#.*)?")


class YamlText:
    """The lines of one file."""

    def __init__(self, path: Path, display: str) -> None:
        """Of the file at `path`, which messages call `display`."""
        self._path = path
        self.display = display
        self._comments: dict[int, str] = {}
        self._quoted = 0

    def survey(self) -> Iterator[Problem]:
        """Lines that are no text, or hold characters of which the parser would not say where they stand."""
        for number, line in read_lines(self._path, self.display):
            if isinstance(line, Problem):
                yield line
            elif odd := _NOT_YAML.search(line):
                reason = (
                    f"column {odd.start() + 1}: the character {odd[0]!a} is not allowed; write it so, in double quotes"
                )
                yield Problem(self.display, number, None, f"is not YAML ({reason})")
            elif _COMMENT.search(line) and len(self._comments) < MOST_COMMENTS:
                self._comments[number] = line.rstrip("\r\n")

    def find_cut(self, node: yaml.Node, is_text: Callable[[str], bool], findings: Findings) -> Problem | None:
        """A prompt that ends at ` #`, where YAML begins a comment; told where it may be a comment indeed."""
        for name, value in _list_texts(node, is_text):
            line = value.end_mark.line + 1
            if value.style or not (text := self._comments.get(line)):
                continue
            rest = text[value.end_mark.column :]
            if not (match := re.match(r"\s+#(\S?)", rest)):
                continue
            whole = json.dumps(f"{value.value}{rest.rstrip()}", ensure_ascii=False)
            # `#hashtag` is a part of the text; `# words` may be a comment.
            if match[1] not in {"", "#"}:
                return Problem(
                    self.display,
                    line,
                    name,
                    f"is cut at ' #', where YAML begins a comment; in quotes it is whole: {whole}",
                )
            findings.count("a comment (' # ...') behind a text is no part of it; in quotes it would be", line)
        return None

    def has_alias(self, name: str) -> bool:
        """True if any line repeats what the anchor of this name marks."""
        alias = re.compile(rf"\*{re.escape(name)}(?![\w-])")
        return any(isinstance(line, str) and alias.search(line) for _, line in read_lines(self._path, self.display))

    def quote_line(self, number: int) -> str | None:
        """The line with its text in quotes, as it can be pasted; None where there is nothing to put into quotes."""
        if self._quoted >= MOST_QUOTED:
            return None
        self._quoted += 1
        match = _PLAIN.fullmatch(self._read_line(number).rstrip())
        if match is None or len(match[3]) > LONGEST_QUOTED or _WHOLE.fullmatch(match[3]):
            return None
        # What looks like a key may be the first words of the text.
        prefix, key, words = match[1], match[2] or "", match[3]
        if key and not _is_key(key):
            prefix, words = prefix.removesuffix(key), f"{key}{words}"
        return f"{prefix.strip()} {json.dumps(words.rstrip(), ensure_ascii=False)}".strip()

    def has_tab(self, number: int) -> bool:
        """True if the line is indented with a tab."""
        line = self._read_line(number)
        return "\t" in line[: len(line) - len(line.lstrip())]

    def _read_line(self, number: int) -> str:
        found = next((line for at, line in read_lines(self._path, self.display) if at == number), "")
        return "" if isinstance(found, Problem) else found


_KNOWN_KEYS = frozenset({"prompt", "negative_prompt", "id", "caption", "text", "prompts", "image", "note", "backend"})


def _is_key(text: str) -> bool:
    return text.strip(" :\t").lower() in _KNOWN_KEYS


def _list_texts(node: yaml.Node, is_text: Callable[[str], bool]) -> Iterator[tuple[str, yaml.ScalarNode]]:
    if isinstance(node, yaml.ScalarNode):
        yield "prompt", node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode) and is_text(key.value):
                yield key.value, value


def explain_error(exc: yaml.YAMLError, text: YamlText) -> Problem:
    """Explain the parser's error, and show the line in quotes where quotes may be missing."""
    mark, begun = getattr(exc, "problem_mark", None), getattr(exc, "context_mark", None)
    reason = getattr(exc, "problem", None) or str(exc).splitlines()[0]
    if mark is None:
        return Problem(text.display, None, None, f"is not YAML ({reason})")
    if begun is not None and getattr(exc, "context", None) in UNCLOSED:
        # Where an open bracket or quote stands says more than where the parser gave up.
        line, place = begun.line + 1, f"not closed until line {mark.line + 1}"
    else:
        line, place = mark.line + 1, f"column {mark.column + 1}"
    return Problem(text.display, line, None, f"is not YAML ({place}: {reason}){_find_remedy(reason, text, line)}")


def _find_remedy(reason: str, text: YamlText, line: int) -> str:
    # Where a token begins, the parser speaks of a "character that cannot start any token".
    if "tab character" in reason or text.has_tab(line):
        return "; rows are indented with spaces, not with tabs"
    if "invalid Unicode" in reason:
        return "; write the character itself, or \\U and its eight digits"
    quoted = text.quote_line(line)
    return f"; a text with a colon, a brace, a bracket or a quote needs quotes around it: {quoted}" if quoted else ""
