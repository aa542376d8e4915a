"""Our exceptions on their way between processes."""

from __future__ import annotations

import builtins
import importlib
import inspect
import pickle
import re
from pathlib import Path
from types import ModuleType, WrapperDescriptorType
from typing import Any

import httpx
import pytest

from tasks.core.errors import BatchStopped
from tasks.core.records import Problem

ROOT = Path(__file__).parents[3]
CLASS = re.compile(r"^class (\w+)\(([^)]+)\):$", re.MULTILINE)
SAMPLES = {
    "bytes": b"raw",
    "dict[str, Any]": {"key": 1},
    "dict[str, str]": {"header": "text"},
    "float": 2.5,
    "float | None": 2.5,
    "httpx.Proxy": httpx.Proxy("http://user:secret@localhost:1"),
    "int": 7,
    "int | None": 7,
    "Request | None": None,
    "Sequence[Problem]": [Problem("m.yaml", 3, "prompt", "is empty")],
    "Sequence[str]": ["a note"],
    "str": "text",
    "str | None": "text",
}
"""A value for each type that a constructor takes."""


def find_kinds() -> list[str]:
    """Every exception class of the two packages as module:name, found in the sources: most modules are not loaded yet."""
    known = {prefix + name for prefix, kinds in (("", builtins), ("httpx.", httpx)) for name in find_exceptions(kinds)}
    classes = [
        (f"{str(path.relative_to(ROOT).with_suffix('')).replace('/', '.')}:{name}", name, set(bases.split(", ")))
        for package in ("tasks", "flows")
        for path in sorted((ROOT / package).rglob("*.py"))
        for name, bases in CLASS.findall(path.read_text(encoding="utf-8"))
    ]
    found: set[str] = set()
    # Again until there is no more: a class may stand in a file that was read before that of its base.
    while more := {place for place, _, bases in classes if bases & known} - found:
        found |= more
        known |= {name for place, name, _ in classes if place in more}
    return sorted(found)


def find_exceptions(module: ModuleType) -> list[str]:
    """Names of a module's exception classes."""
    return [name for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, Exception)]


def build(kind: type[Exception]) -> Exception:
    """Build an exception with every argument that its constructor takes; a text where it takes any."""
    if isinstance(kind.__init__, WrapperDescriptorType):  # of a built-in class
        return kind("text")
    parameters = inspect.signature(kind).parameters.values()
    return kind(**{each.name: SAMPLES[str(each.annotation)] for each in parameters})


def get_fields(error: Exception) -> dict[str, Any]:
    """Everything that is kept beside the arguments, by name."""
    return {name: value for name, value in vars(error).items() if value is not None}


@pytest.mark.parametrize("name", find_kinds())
def test_every_exception_survives_pickling(name: str) -> None:
    """Its type, text, arguments and fields: a worker of a cluster sends what it raises to the run."""
    module, _, kind = name.partition(":")
    error = build(getattr(importlib.import_module(module), kind))
    error.add_note("seen on worker 3")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert (type(again), str(again), again.args) == (type(error), str(error), error.args)
    assert get_fields(again) == get_fields(error)


def test_what_a_stop_carries_survives_pickling() -> None:
    """The reason of a stop, which decides what a person is told to do."""
    stop = pickle.loads(pickle.dumps(BatchStopped("credit", "no credit; resume", why="no credit")))  # noqa: S301
    assert (stop.reason, stop.why, str(stop)) == ("credit", "no credit", "no credit; resume")
