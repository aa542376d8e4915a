"""Hugging Face's `datasets`, which reads our output as its users do; the tests that read with it import it, not the collection of all."""

from __future__ import annotations

from typing import Any


def load_dataset(*places: str, **options: Any) -> Any:
    """The rows, as `datasets.load_dataset` gives them."""
    import datasets  # noqa: PLC0415  it brings pandas and more, and every test process collects every file

    return datasets.load_dataset(*places, **options)
