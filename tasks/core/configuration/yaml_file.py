"""One YAML file of one model: bounded, and every mistake named with its line.

Takes a path and a pydantic model, gives the model or a `ConfigError`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tasks.core.configuration.mistakes import describe_mistake
from tasks.core.errors import ConfigError
from tasks.core.safe_text import os_error_text
from tasks.core.text import TO_UTF_8, locate_byte

Document = TypeVar("Document", bound=BaseModel)

MOST_NODES = 100_000
"""In one file, aliases followed: no configuration is that large, an alias bomb is."""
MOST_CHARS = 4_000_000
MOST_BYTES = 4 * MOST_CHARS
"""A character of UTF-8 has four bytes at most."""
MERGE = "tag:yaml.org,2002:merge"
MISFITS = (ArithmeticError, AttributeError, LookupError, TypeError)
"""Errors of PyYAML at `!!int ""`, `!!bool x` and the like."""


def read_yaml(path: Path, model: type[Document], *, missing: str) -> Document:
    """Read a YAML file of one model.

    Args:
        path: The file; an empty one is the model's defaults.
        model: The model of its content.
        missing: The message where there is no such file.

    Raises:
        ConfigError: It cannot be read or used; every problem with its line and key.
    """
    tree = _compose(path, _read_text(path, missing))
    values = {} if tree is None else _construct(path, tree)
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise ConfigError("\n".join(_explain(path, tree, exc))) from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None


def _compose(path: Path, text: str) -> yaml.Node | None:
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: {_format_reason(exc)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    # Before anything is built: an alias bomb of a few lines is gigabytes of objects.
    if tree is not None and count_nodes(tree, MOST_NODES) > MOST_NODES:
        raise ConfigError(f"{path}: holds more than {MOST_NODES:,} values, aliases followed")
    # YAML takes the last of two in silence; the first may be the budget that was meant.
    if tree is not None and (repeated := _find_repeated_key(tree)) is not None:
        raise ConfigError(f"{path}:{repeated.start_mark.line + 1}: {repeated.value}: appears here a second time")
    return tree


def _find_repeated_key(tree: yaml.Node) -> yaml.ScalarNode | None:
    """A key that stands twice in one mapping; merge keys may."""
    for node in walk_nodes(tree):
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if key.value in seen:
                    return key
                seen.add(key.value)
    return None


def _construct(path: Path, tree: yaml.Node) -> Any:
    try:
        # From the tree, not the text: its lines are needed for messages.
        return yaml.SafeLoader("").construct_document(tree)
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: {_format_reason(exc)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    except ValueError as exc:  # a date without such a day, a number that Python does not read
        raise ConfigError(f"{path}: holds a value that cannot be read: {exc}") from None
    except MISFITS as exc:
        raise ConfigError(f"{path}: holds a value that is not what its tag says ({exc})") from None


def count_nodes(node: yaml.Node, most: int) -> int:
    """Nodes under `node`, counted through aliases, not far beyond `most`."""
    return sum(1 for _ in islice(walk_nodes(node), most + 1))


def walk_nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    """Every node under `node`, itself included, through aliases; without an end where one holds itself."""
    stack = [node]
    # A stack of our own, because the nesting may be deeper than Python's.
    while stack:
        current = stack.pop()
        yield current
        if isinstance(current, yaml.SequenceNode):
            stack.extend(current.value)
        elif isinstance(current, yaml.MappingNode):
            stack.extend(part for pair in current.value for part in pair)


def _read_text(path: Path, missing: str) -> str:
    try:
        with path.open("rb") as file:  # a device may have no end
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8-sig", "strict" if len(data) <= MOST_BYTES else "ignore")
    except FileNotFoundError:
        raise ConfigError(f"{path}: {missing}") from None
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({os_error_text(exc)})") from None
    except UnicodeDecodeError as exc:
        line, byte = locate_byte(exc.object, exc.start)
        command = f"{TO_UTF_8} {shlex.quote(str(path))}"
        raise ConfigError(f"{path}:{line}: is not UTF-8 ({byte}); convert it, as with `{command}`") from None
    if len(text) > MOST_CHARS:
        raise ConfigError(f"{path}: is longer than {MOST_CHARS:,} characters; is it a configuration?")
    return text


def _format_reason(exc: yaml.YAMLError) -> str:
    mark = getattr(exc, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}is not valid YAML: {getattr(exc, 'problem', None) or 'unreadable'}"


def _explain(path: Path, tree: yaml.Node | None, exc: ValidationError) -> list[str]:
    return [explain_setting(error, f"{path}:{_find_line(tree, error['loc'])}") for error in exc.errors()]


def explain_setting(error: Any, place: str) -> str:
    """One line for one pydantic error: the place, the dotted setting, what it must be."""
    setting = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return f"{place}: {setting}: there is no such setting"
    message = describe_mistake(error)
    return f"{place}: {setting}: {message}" if setting else f"{place}: {message}"


def locate_setting(file: str, keys: Sequence[str]) -> str:
    """The file and line of a setting, for a message; the file alone where that cannot be read any more."""
    try:
        tree = _compose(Path(file), _read_text(Path(file), ""))
    except ConfigError:
        return file
    return f"{file}:{_find_line(tree, keys)}"


def _find_line(node: yaml.Node | None, path: Sequence[str | int]) -> int:
    """The 1-based line of the deepest part of `path` that stands in the file."""
    line = 1
    for part in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        if not isinstance(node, yaml.MappingNode):
            break
        match = next(((key, value) for key, value in node.value if key.value == str(part)), None)
        if match is None:
            break
        key, node = match
        line = key.start_mark.line + 1
    return line
