"""Our exceptions on their way between processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from tasks.core.errors import BatchStopped, ImagenError, ManifestError
from tasks.core.records import Problem


def all_kinds(kind: type[ImagenError] = ImagenError) -> Iterator[type[ImagenError]]:
    """Every class of the tree."""
    yield kind
    for below in kind.__subclasses__():
        yield from all_kinds(below)


@pytest.mark.parametrize("kind", sorted(set(all_kinds()), key=str))
def test_every_error_survives_pickling(kind: type[ImagenError]) -> None:
    """Whatever arguments its constructor takes: a worker of a cluster sends it with its text and attributes."""
    error = kind.__new__(kind, "what happened")
    vars(error).update(reason="why", retry_after_s=2.0)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert (type(again), str(again), vars(again)) == (kind, "what happened", vars(error))


def test_what_an_error_carries_survives_pickling() -> None:
    """The reason of a stop, and the problems of a manifest."""
    stop = pickle.loads(pickle.dumps(BatchStopped("credit", "no credit; resume", why="no credit")))  # noqa: S301
    assert (stop.reason, stop.why, str(stop)) == ("credit", "no credit", "no credit; resume")
    problems = ManifestError([Problem("m.yaml", 3, "prompt", "is empty")], 7)
    again = pickle.loads(pickle.dumps(problems))  # noqa: S301
    assert (again.problems, again.total, str(again)) == (problems.problems, 7, str(problems))
