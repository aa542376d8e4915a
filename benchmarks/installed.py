"""Measured processes see what comes with imagen, and not what the tests' libraries bring."""

from __future__ import annotations

import os
import sys

NOT_INSTALLED = ("numpy", "pandas", "tornado", "trio")
"""Others import them where they are installed: PyArrow the first two (a second, 60 MB), tenacity and httpcore the last."""


WITH_ALL = "BENCHMARKS_WITH_ALL"
"""Variable of a process that sees everything: an extra of imagen's brings some of them."""


def as_installed() -> None:
    """Make it as if what is not imagen's were not there; before anything else is imported."""
    if WITH_ALL in os.environ:
        return
    sys.modules.update(dict.fromkeys(NOT_INSTALLED))  # type: ignore[arg-type]  # None: it cannot be imported
