"""Rows of YAML manifests: a list of rows, or `defaults`, `template` with `matrix`, and `prompts`.

The file is read twice: once for what stands beside the prompts (which may come after them), once for the
rows, in the order in which they stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

from tasks.core.records import Problem
from tasks.manifest.columns import RawRow
from tasks.manifest.lines import read_lines
from tasks.manifest.source import Manifest
from tasks.manifest.template import TemplateProblem, expand_template
from tasks.manifest.yaml_nodes import NodeReader, YamlProblem, construct_value, get_key_lines

UNCLOSED = {"while parsing a flow sequence", "while parsing a flow mapping", "while scanning a quoted scalar"}
"""The parser's words for what it was in the middle of (libyaml 0.2.5)."""
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
KEYS = ("defaults", "template", "matrix", "prompts")


@dataclass(slots=True)
class _Header:
    """What stands beside the prompts."""

    defaults: dict[str, Any] = field(default_factory=dict)
    default_lines: dict[str, int] = field(default_factory=dict)
    matrix: dict[str, Any] = field(default_factory=dict)
    matrix_line: int | None = None


def read_rows(manifest: Manifest) -> Iterator[RawRow | Problem]:
    """The rows of a YAML manifest; what breaks the file itself is one problem, and the rows before it count."""
    if unreadable := list(_unreadable_lines(manifest)):
        yield from unreadable
        return
    try:
        header = _read_header(manifest)
        with manifest.path.open("rb") as stream:
            yield from _rows(NodeReader(stream), header, manifest.display)
    except YamlProblem as exc:
        yield Problem(manifest.display, exc.line, None, str(exc))
    except yaml.YAMLError as exc:
        yield _broken(exc, manifest.display)


def _unreadable_lines(manifest: Manifest) -> Iterator[Problem]:
    """Lines that are no text, or hold characters of which the parser would not say where they stand."""
    for number, line in read_lines(manifest.path, manifest.display):
        if isinstance(line, Problem):
            yield line
        elif odd := _NOT_YAML.search(line):
            reason = f"column {odd.start() + 1}: the character {odd[0]!a} is not allowed; write it so, in double quotes"
            yield Problem(manifest.display, number, None, f"is not YAML ({reason})")


def _read_header(manifest: Manifest) -> _Header:
    header = _Header()
    with manifest.path.open("rb") as stream:
        reader = NodeReader(stream)
        if not isinstance(reader.start(), yaml.MappingStartEvent):
            return header
        templates = False
        for key, line in reader.entries():
            if key not in KEYS:
                raise YamlProblem(line, _unknown_key(key))
            templates |= key == "template"
            if key == "defaults":
                node = reader.node()
                header.defaults, header.default_lines = _mapping(node, "defaults", "columns"), get_key_lines(node)
            elif key == "matrix":
                header.matrix, header.matrix_line = _mapping(reader.node(), "matrix", "lists of values"), line
            elif key == "prompts":
                reader.skip()
            else:
                reader.node()
        if header.matrix_line is not None and not templates:
            raise YamlProblem(header.matrix_line, "matrix: there is no template for it")
    return header


def _rows(reader: NodeReader, header: _Header, file: str) -> Iterator[RawRow | Problem]:
    start = reader.start()
    if isinstance(start, yaml.DocumentEndEvent):
        return
    if isinstance(start, yaml.SequenceStartEvent):
        for node in reader.items():
            yield _row(node, header, file)
        reader.finish()
        return
    if not isinstance(start, yaml.MappingStartEvent):
        raise YamlProblem(start.start_mark.line + 1, f"holds neither rows nor any of {', '.join(KEYS)}")
    for key, line in reader.entries():
        if key == "prompts":
            yield from _prompts(reader, header, file, line)
        elif key == "template":
            yield from _templates(reader.node(), header, file)
        else:
            reader.node()
    reader.finish()


def _prompts(reader: NodeReader, header: _Header, file: str, line: int) -> Iterator[RawRow | Problem]:
    if not reader.enter_sequence():
        reader.node()
        yield Problem(file, line, "prompts", "is not a list of rows; begin each with a dash")
        return
    for node in reader.items():
        yield _row(node, header, file)


def _row(node: yaml.Node, header: _Header, file: str) -> RawRow | Problem:
    line = node.start_mark.line + 1
    try:
        value = construct_value(node)
    except YamlProblem as exc:
        return Problem(file, exc.line, None, str(exc))
    if isinstance(value, str):
        return RawRow(line, {"prompt": value}, header.default_lines, header.defaults)
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return RawRow(line, value, header.default_lines | get_key_lines(node), header.defaults)
    return Problem(file, line, None, "is neither a text nor a row of named columns (a text with a colon needs quotes)")


def _templates(node: yaml.Node, header: _Header, file: str) -> Iterator[RawRow | Problem]:
    entries = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for entry in entries:
        line = entry.start_mark.line + 1
        try:
            template = _mapping(entry, "template", "columns")
            lines = header.default_lines | get_key_lines(entry)
            for cells in expand_template(template, template.pop("matrix", header.matrix)):
                yield RawRow(line, cells, lines, header.defaults)
        except TemplateProblem as exc:
            yield Problem(file, line, "template", str(exc))


def _mapping(node: yaml.Node, name: str, of_what: str) -> dict[str, Any]:
    value = construct_value(node)
    if not isinstance(value, dict):
        raise YamlProblem(node.start_mark.line + 1, f"{name}: is not a set of named {of_what}")
    return {str(key): part for key, part in value.items()}


def _unknown_key(key: str) -> str:
    near = get_close_matches(key, KEYS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KEYS)}"
    return f"{key}: is not known here; {hint}"


def _broken(exc: yaml.YAMLError, file: str) -> Problem:
    mark, begun = getattr(exc, "problem_mark", None), getattr(exc, "context_mark", None)
    reason = getattr(exc, "problem", None) or str(exc).splitlines()[0]
    if mark is None:
        return Problem(file, None, None, f"is not YAML ({reason})")
    if begun is not None and getattr(exc, "context", None) in UNCLOSED:
        # Where an open bracket or quote stands says more than where the parser gave up.
        return Problem(file, begun.line + 1, None, f"is not YAML (not closed until line {mark.line + 1}: {reason})")
    return Problem(file, mark.line + 1, None, f"is not YAML (column {mark.column + 1}: {reason})")
