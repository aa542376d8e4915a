"""Inputs that ask for several images at once: one image is kept of each request, and all of them are billed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST_COUNTED = 10**6
COUNT_NAMES = frozenset(
    {
        "n",
        "numimages",
        "numoutputs",
        "numsamples",
        "numresults",
        "numgenerations",
        "numvariations",
        "numimagesperprompt",
        "numberofimages",
        "numberofoutputs",
        "numberresults",
        "imagecount",
        "imagesperprompt",
        "outputcount",
        "maximages",
        "maxoutputs",
        "samples",
        "samplecount",
        "batchsize",
        "batchcount",
        "niter",
        "nsamples",
        "variations",
    }
)
"""Names of such inputs on image services, without case and separators (schemas on Replicate and fal, read 2026-11)."""


def is_count_name(name: str) -> bool:
    """True if an input of this name says how many images are made."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) in COUNT_NAMES


def find_image_counts(values: Any, deepest: int = 4) -> Iterator[tuple[str, int]]:
    """Every input of a request that asks for more than one image, with its number."""
    if not isinstance(values, Mapping) or not deepest:
        return
    for name, value in values.items():
        if is_count_name(str(name)) and (count := _parse_count(value)) is not None and count > 1:
            yield str(name), count
        else:
            yield from find_image_counts(value, deepest - 1)


def count_images(values: Any) -> int:
    """How many images a request asks for."""
    return max((count for _, count in find_image_counts(values)), default=1)


def explain_several(values: Any) -> list[str]:
    """Why a request for several images is not sent; each `input: reason`."""
    return [
        f"{name}: {count} images would be paid for and one kept; ask for more with samples"
        for name, count in find_image_counts(values)
    ]


def _parse_count(value: Any) -> int | None:
    """A count as a number or as text; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if 0 <= number <= MOST_COUNTED else None
