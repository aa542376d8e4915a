"""Measured processes see what comes with imagen, and not what the tests' libraries bring."""

from __future__ import annotations

import sys

NOT_INSTALLED = ("numpy", "pandas", "tornado", "trio")
"""Others import them where they are installed: PyArrow the first two (a second, 60 MB), tenacity and httpcore the last."""


def as_installed() -> None:
    """Make it as if what is not imagen's were not there; before anything else is imported."""
    sys.modules.update(dict.fromkeys(NOT_INSTALLED))  # type: ignore[arg-type]  # None: it cannot be imported
