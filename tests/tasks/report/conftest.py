"""Galleries of most tests have no plots: matplotlib takes nearly all of a small gallery's time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

FINDER = "tasks.report.gallery.plots.find_spec"


@contextmanager
def without_plots() -> Iterator[None]:
    """Galleries that are written in the block are those of an installation without matplotlib."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FINDER, lambda _: None)
        yield


@pytest.fixture
def plots() -> None:
    """For tests whose galleries have plots."""


@pytest.fixture(autouse=True)
def _quick_galleries(request: pytest.FixtureRequest) -> Iterator[None]:
    if "plots" in request.fixturenames:
        yield
        return
    with without_plots():
        yield
