"""YAML, one node at a time: PyYAML's events made into nodes, so that a long list is never held whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import yaml

from tasks.core.configuration.yaml_file import MISFITS, count_nodes
from tasks.core.errors import PortableError
from tasks.manifest.cell_values import MOST_DIGITS

MOST_NODES = 100_000
"""In one row, aliases followed: no row is that large, an alias bomb is."""

MOST_LEVELS = 100
"""Of one row: no row is that deep, and each level takes some of the stack."""

MOST_ALIASED_NODES = 20_000_000
"""In one file, aliases followed: rows may repeat each other, but not without end."""

STR = "tag:yaml.org,2002:str"
_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_RESOLVED = frozenset({_INT, _FLOAT, "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"})
# YAML 1.1 takes 0010 for 8 (octal) and 1:30 for 90 (minutes); nobody who writes a manifest means that.
_MISREAD = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_END = yaml.SequenceEndEvent | yaml.MappingEndEvent


class YamlProblem(PortableError):
    """Something in the YAML that cannot be used, with its 1-based line."""

    def __init__(self, line: int, message: str) -> None:
        """Keep the line beside the text."""
        self.line = line
        super().__init__(message)


class NodeReader:
    """Reads a document's top level piece by piece."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read from `stream`, which the caller closes."""
        # libyaml: many times as fast as PyYAML's own parser, and it hands out events one by one.
        self._loader = yaml.CSafeLoader(stream)
        self._resolve: Callable[..., str] = self._loader.resolve
        self._anchors: dict[str, yaml.Node] = {}
        self._left = MOST_NODES
        self._aliased_left = MOST_ALIASED_NODES
        self._level = 0

    def start(self) -> Any:
        """The first event of the document's content; a `DocumentEndEvent` when it is empty."""
        self._next()  # the stream's start
        if isinstance(self._peek(), yaml.StreamEndEvent):
            return yaml.DocumentEndEvent()
        self._next()  # the document's start
        return self._next()

    def finish(self) -> None:
        """Read the end of the document, whose content has been read.

        Raises:
            YamlProblem: Another document follows, which would otherwise be left out in silence.
        """
        self._next()
        if not isinstance(self._peek(), yaml.StreamEndEvent):
            raise YamlProblem(
                self._peek().start_mark.line + 1,
                "a second document begins here; a manifest is one. Delete this line if it is one list of rows",
            )

    def entries(self) -> Iterator[tuple[str, int]]:
        """Keys of the mapping that was just entered, with their lines; the caller reads each value.

        Raises:
            YamlProblem: A key appears twice.
        """
        seen: set[str] = set()
        while not isinstance(self._peek(), yaml.MappingEndEvent):
            node = self.node()
            line = node.start_mark.line + 1
            key = str(node.value) if isinstance(node, yaml.ScalarNode) else "?"
            # YAML says the last one counts; the first may be what was meant.
            if key in seen:
                raise YamlProblem(line, f"{key}: appears here a second time")
            seen.add(key)
            yield key, line
        self._next()

    def items(self) -> Iterator[yaml.Node]:
        """Items of the sequence that was just entered."""
        while not isinstance(self._peek(), yaml.SequenceEndEvent):
            yield self.node()
        self._next()

    def enter_sequence(self) -> bool:
        """Go into the sequence that comes next; False, and nothing is read, when something else comes."""
        if isinstance(self._peek(), yaml.SequenceStartEvent):
            self._next()
            return True
        return False

    def skip(self) -> None:
        """Read past the next value without keeping it."""
        depth = 0
        while True:
            event = self._next()
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if not depth:
                return

    def node(self) -> yaml.Node:
        """The next value, whole."""
        # Anew for each row: the bound is on one row, not on the file.
        self._left, self._level = MOST_NODES, 0
        return self._compose()

    def _compose(self) -> yaml.Node:
        event = self._next()
        self._left -= 1
        if self._left < 0:
            raise YamlProblem(event.start_mark.line + 1, "is too large for one row")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        if self._level == MOST_LEVELS:
            raise YamlProblem(event.start_mark.line + 1, "is nested too deeply")
        self._level += 1
        node = self._build_node(event)
        self._level -= 1
        if event.anchor is not None:
            self._anchors[event.anchor] = node
            # Kept by the node, for whoever asks if a text that begins with & was meant as an anchor.
            vars(node)["anchor"] = event.anchor
        return node

    def _aliased(self, event: Any) -> yaml.Node:
        line = event.start_mark.line + 1
        if event.anchor not in self._anchors:
            raise YamlProblem(line, f"*{event.anchor}: there is no such anchor before this line")
        node = self._anchors[event.anchor]
        # Counted at each use: the node is shared, but its rows are made anew.
        size = count_nodes(node, self._left)
        self._left -= size
        self._aliased_left -= size
        if self._left <= 0:
            raise YamlProblem(line, "is too large for one row")
        if self._aliased_left <= 0:
            raise YamlProblem(line, "the aliases of this file repeat too much; write the rows out")
        return node

    def _build_node(self, event: Any) -> yaml.Node:
        resolve: Callable[..., str] = self._resolve
        start: Any = event.start_mark
        end: Any = event.end_mark
        if isinstance(event, yaml.ScalarEvent):
            tag = _get_tag(event.tag) or resolve(yaml.ScalarNode, event.value, event.implicit)
            if tag in {_INT, _FLOAT} and not event.style and _MISREAD.fullmatch(event.value):
                tag = STR
            if tag == _INT and len(event.value) > MOST_DIGITS:
                raise YamlProblem(start.line + 1, f"holds a number of {len(event.value)} digits; put it in quotes")
            return yaml.ScalarNode(tag, event.value, start, end, style=event.style)
        if isinstance(event, yaml.SequenceStartEvent):
            tag = _get_tag(event.tag) or resolve(yaml.SequenceNode, None, event.implicit)
            return yaml.SequenceNode(tag, list(self._children()), start, end)
        tag = _get_tag(event.tag) or resolve(yaml.MappingNode, None, event.implicit)
        return yaml.MappingNode(tag, self._pairs(), start, end)

    def _children(self) -> Iterator[yaml.Node]:
        while not isinstance(self._peek(), _END):
            yield self._compose()
        self._next()

    def _pairs(self) -> list[tuple[yaml.Node, yaml.Node]]:
        pairs: list[tuple[yaml.Node, yaml.Node]] = []
        seen: set[str] = set()
        children = self._children()
        for key in children:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise YamlProblem(key.start_mark.line + 1, f"{key.value}: appears here a second time")
                seen.add(key.value)
            pairs.append((key, next(children)))
        return pairs

    # PyYAML's types leave out what its events have, so an event is `Any` here.
    def _peek(self) -> Any:
        return self._loader.peek_event()

    def _next(self) -> Any:
        return self._loader.get_event()


def construct_value(node: yaml.Node) -> Any:
    """The plain value of a node.

    Raises:
        YamlProblem: A tag or a scalar that plain YAML does not know.
    """
    try:
        return yaml.constructor.SafeConstructor().construct_document(node)
    except (yaml.YAMLError, ValueError) as exc:
        mark = getattr(exc, "problem_mark", None) or node.start_mark
        raise YamlProblem(mark.line + 1, getattr(exc, "problem", None) or str(exc)) from None
    except RecursionError:  # aliases of aliases
        raise YamlProblem(node.start_mark.line + 1, "is nested too deeply") from None
    except MISFITS:
        raise YamlProblem(node.start_mark.line + 1, "holds a value that is not what its tag says") from None


def get_key_lines(node: yaml.Node) -> dict[str, int]:
    """The line of each key of a mapping."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: key.start_mark.line + 1 for key, _ in node.value if isinstance(key, yaml.ScalarNode)}


def _get_tag(tag: str | None) -> str | None:
    return None if tag == "!" else tag


def keep_texts(node: yaml.Node, is_text: Callable[[str], bool]) -> yaml.Node:
    """Give plain values under names of texts back as the text that stands there: 0010, 1.10, yes, 2026-11-24."""
    if isinstance(node, yaml.MappingNode):
        for index, (key, value) in enumerate(node.value):
            if (
                isinstance(key, yaml.ScalarNode)
                and isinstance(value, yaml.ScalarNode)
                and not value.style
                and value.tag in _RESOLVED
                and is_text(key.value)
            ):
                text = yaml.ScalarNode(STR, value.value, value.start_mark, value.end_mark)
                node.value[index] = (key, text)
    return node
