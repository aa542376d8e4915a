"""Rows of YAML manifests: a list of rows, or `defaults`, `template` with `matrix`, and `prompts`.

The file is read twice: once for what stands beside the prompts (which may come after them), once for the
rows, in the order in which they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

from tasks.core.gates import check_gates
from tasks.core.records import Problem
from tasks.manifest.columns import RawRow
from tasks.manifest.formats.template import TemplateProblem, expand_template
from tasks.manifest.formats.yaml_nodes import NodeReader, YamlProblem, construct_value, get_key_lines, keep_texts
from tasks.manifest.formats.yaml_text import YamlText, explain_error
from tasks.manifest.names import find_alias, fold_name
from tasks.manifest.reading import Findings, ReadOptions, UnknownMeaning, parse_columns
from tasks.manifest.row_gates import GATE_KEYS
from tasks.manifest.source import ManifestFile

KEYS = ("columns", "defaults", "template", "matrix", "prompts", *GATE_KEYS)
TEXT_COLUMNS = frozenset(
    {"id", "prompt", "negative_prompt", "backend", "aspect_ratio", "size", "image", "mask", "model"}
)
"""Columns whose plain values are the text that stands there: 0010, 16:9 and 1.10 are not numbers."""


@dataclass(slots=True)
class _Header:
    """The parts of the file beside its prompts."""

    defaults: dict[str, Any] = field(default_factory=dict)
    default_lines: dict[str, int] = field(default_factory=dict)
    matrix: dict[str, Any] = field(default_factory=dict)
    matrix_line: int | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    """As they are written."""
    gates: dict[str, Any] = field(default_factory=dict)


def read_rows(file: ManifestFile, options: ReadOptions, findings: Findings) -> Iterator[RawRow | Problem]:
    """The rows of a YAML manifest; what breaks the file itself is one problem, and the rows before it count."""
    text = YamlText(file.path, file.display)
    # First, because the parser stops at such a character without a line.
    if unreadable := list(text.survey()):
        yield from unreadable
        return
    try:
        header = _read_header(file)
        findings.take_columns(header.columns)
        _take_gates(header, findings)
        with file.path.open("rb") as stream:
            known = findings.columns.keys() | options.columns.keys()
            yield from _Rows(header, text, findings, known).read(NodeReader(stream))
    except YamlProblem as exc:
        yield Problem(file.display, exc.line, None, str(exc))
    except yaml.YAMLError as exc:
        yield explain_error(exc, text)


def _read_header(file: ManifestFile) -> _Header:
    header = _Header()
    with file.path.open("rb") as stream:
        reader = NodeReader(stream)
        if not isinstance(reader.start(), yaml.MappingStartEvent):
            return header
        templates = False
        for key, line in reader.entries():
            if key.startswith("x-"):  # a place for anchors, as in compose files
                reader.node()
                continue
            if key not in KEYS:
                raise YamlProblem(line, _explain_key(key))
            templates |= key == "template"
            if key == "defaults":
                node = keep_texts(reader.node(), _is_text_column)
                header.defaults, header.default_lines = _get_mapping(node, "defaults", "columns"), get_key_lines(node)
            elif key == "matrix":
                header.matrix, header.matrix_line = _get_mapping(reader.node(), "matrix", "lists of values"), line
            elif key == "prompts":
                # Not kept: the prompts may be a million rows, and are read in the second pass.
                reader.skip()
            elif key in GATE_KEYS:
                header.gates[key] = _get_gate(reader.node(), key, line)
            else:
                node = reader.node()
                header.columns = _get_columns(node) if key == "columns" else header.columns
        if header.matrix_line is not None and not templates:
            raise YamlProblem(header.matrix_line, "matrix: there is no template for it")
    return header


class _Rows:
    """Makes rows of a document's nodes."""

    def __init__(self, header: _Header, text: YamlText, findings: Findings, known: AbstractSet[str]) -> None:
        self._header = header
        self._text = text
        self._findings = findings
        self._known = known

    def read(self, reader: NodeReader) -> Iterator[RawRow | Problem]:
        start = reader.start()
        if isinstance(start, yaml.DocumentEndEvent):
            return
        if isinstance(start, yaml.SequenceStartEvent):
            for node in reader.items():
                yield self._build_row(node)
            reader.finish()
            return
        if not isinstance(start, yaml.MappingStartEvent):
            raise YamlProblem(
                start.start_mark.line + 1,
                f"holds neither rows nor any of {', '.join(KEYS)}; a row begins with a dash and a space, as - a red fox",
            )
        for key, line in reader.entries():
            if key == "prompts":
                yield from self._read_prompts(reader, line)
            elif key == "template":
                yield from self._expand_templates(reader.node())
            else:
                reader.node()
        reader.finish()

    def _read_prompts(self, reader: NodeReader, line: int) -> Iterator[RawRow | Problem]:
        if not reader.enter_sequence():
            reader.node()
            yield self._problem(line, "is not a list of rows; begin each with a dash", "prompts")
            return
        for node in reader.items():
            yield self._build_row(node)

    def _build_row(self, node: yaml.Node) -> RawRow | Problem:
        line = node.start_mark.line + 1
        header = self._header
        try:
            value = construct_value(keep_texts(node, _is_text_column))
        except YamlProblem as exc:
            # A text that begins with a sign of YAML's own is the usual cause.
            return self._ask_for_quotes(exc.line, str(exc))
        # A prompt that YAML cut short would be paid for.
        if cut := self._text.find_cut(node, _is_text_column, self._findings):
            return cut
        if isinstance(value, str):
            if (anchor := self._find_unused_anchor(node)) is not None:
                return self._ask_for_quotes(line, f"&{anchor} is taken for a name of YAML's")
            return RawRow(line, {"prompt": value}, header.default_lines, header.defaults)
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            row = RawRow(line, value, header.default_lines | get_key_lines(node), header.defaults)
            is_text = not any(map(self._is_known, value)) and self._text.quote_line(line)
            return self._ask_for_quotes(line, "names no column that is known", "prompt") if is_text else row
        quoted = self._text.quote_line(line)
        hint = f": {quoted}" if quoted else ""
        return self._problem(line, f"is neither a text nor a row of named columns; a text like this needs quotes{hint}")

    def _ask_for_quotes(self, line: int, reason: str, column: str | None = None) -> Problem:
        quoted = self._text.quote_line(line)
        hint = f"; if it is a text, write it in quotes: {quoted}" if quoted else ""
        return self._problem(line, f"{reason}{hint}", column)

    def _find_unused_anchor(self, node: yaml.Node) -> str | None:
        """The name before a text of one word that nothing else in the file repeats: `- &fox in snow`."""
        anchor = getattr(node, "anchor", None)
        return anchor if isinstance(node, yaml.ScalarNode) and anchor and not self._text.has_alias(anchor) else None

    def _is_known(self, name: str) -> bool:
        return find_alias(name) is not None or fold_name(name) in self._known

    def _expand_templates(self, node: yaml.Node) -> Iterator[RawRow | Problem]:
        entries = node.value if isinstance(node, yaml.SequenceNode) else [node]
        header = self._header
        for entry in entries:
            line = entry.start_mark.line + 1
            try:
                template = _get_mapping(keep_texts(entry, _is_text_column), "template", "columns")
                matrix = template.pop("matrix", header.matrix)
                lines = header.default_lines | get_key_lines(entry)
                filled = frozenset(map(str, matrix)) if isinstance(matrix, dict) else frozenset()
                for cells in expand_template(template, matrix):
                    yield RawRow(line, cells, lines, header.defaults, confirmed=filled)
            except TemplateProblem as exc:
                yield self._problem(line, str(exc), "template")

    def _problem(self, line: int, message: str, column: str | None = None) -> Problem:
        return Problem(self._text.display, line, column, message)


def _is_text_column(name: str) -> bool:
    alias = find_alias(name)
    return alias is not None and alias[0] in TEXT_COLUMNS


def _get_mapping(node: yaml.Node, name: str, of_what: str) -> dict[str, Any]:
    value = construct_value(node)
    if not isinstance(value, dict):
        raise YamlProblem(node.start_mark.line + 1, f"{name}: is not a set of named {of_what}")
    return {str(key): part for key, part in value.items()}


def _take_gates(header: _Header, findings: Findings) -> None:
    """One rule for a run: its images are compared by one measure, whatever file their rows stand in."""
    if header.gates and findings.gates not in ({}, header.gates):
        raise YamlProblem(1, f"{', '.join(header.gates)}: another file of the manifest has other values")
    findings.gates.update(header.gates)


def _get_gate(node: yaml.Node, key: str, line: int) -> Any:
    value = construct_value(node)
    try:
        check_gates({key: value})
    except ValueError as exc:
        raise YamlProblem(line, str(exc)) from None
    return value


def _get_columns(node: yaml.Node) -> dict[str, Any]:
    columns = _get_mapping(node, "columns", "meanings")
    try:
        parse_columns(columns)
    except UnknownMeaning as exc:
        line = get_key_lines(node).get(exc.name, node.start_mark.line + 1)
        raise YamlProblem(line, f"columns: {exc}") from None
    return columns


def _explain_key(key: str) -> str:
    near = get_close_matches(key, KEYS, n=1)
    known = f"there are {', '.join(KEYS)}; a row begins with a dash, and what is only for anchors is called x-..."
    hint = f"did you mean {near[0]}?" if near else known
    row = f" A row begins with a dash, as - {key}: ..." if find_alias(key) is not None else ""
    return f"{key}: is not known here; {hint}{row}"
