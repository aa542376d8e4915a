"""Inputs that ask for several images at once: one image is kept of each request, and all of them are billed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

# More than any service makes in one request; a larger number is a typing error, and is left to the service to refuse.
MOST_COUNTED = 10**6
MOST_WORDS = 500
"""Of a description: what an input is stands at its beginning."""
_COUNTED = re.compile(
    r"\b(?:number|count|amount|quantity) of (?:\w+ )?(?:images?|outputs?|pictures?|samples?|variations?|results?)\b"
    r"(?! (?:of )?(?:steps|tokens))|\bhow many (?:\w+ )?(?:images|outputs|pictures|samples|variations)\b",
    re.IGNORECASE,
)
_GOES_IN = re.compile(r"\b(?:input|reference|source|denoising|sampling|init)\b", re.IGNORECASE)
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


# A batch of thousands of rows asks about the same few names, for each row several times.
@lru_cache(maxsize=256)
def is_count_name(name: str) -> bool:
    """True if an input of this name says how many images are made."""
    # Services write num_images, numImages and num-images for one and the same input.
    return re.sub(r"[^a-z0-9]", "", name.lower()) in COUNT_NAMES


def is_image_count(name: str, described: Any) -> bool:
    """True if an input says how many images are made: by its name, or as a whole number that its schema calls that."""
    if not isinstance(described, Mapping):
        return False
    if is_count_name(name):
        return True
    if described.get("type") != "integer":
        return False
    words = f"{described.get('title', '')}. {described.get('description', '')}"[:MOST_WORDS]
    counted = _COUNTED.search(words)
    return counted is not None and _GOES_IN.search(counted[0]) is None


# Workflows and batch bodies nest their inputs a few levels deep; a bound keeps a hostile row from recursing for ever.
def find_image_counts(values: Any, deepest: int = 4, names: Collection[str] = frozenset()) -> Iterator[tuple[str, int]]:
    """Every input of a request that asks for more than one image, with its number.

    Args:
        values: The request.
        deepest: Levels of it that are looked at.
        names: Inputs that are known to be counts, besides those whose names say it.
    """
    if not isinstance(values, Mapping) or not deepest:
        return
    for name, value in values.items():
        is_count = name in names or is_count_name(str(name))
        if is_count and (count := parse_image_count(value)) is not None and count > 1:
            yield str(name), count
        # Most inputs are plain values, and a plan of a million rows looks at all of them: asking for `Mapping` is slow.
        elif not isinstance(value, str | int | float | None) and isinstance(value, Mapping):
            yield from find_image_counts(value, deepest - 1, names)


def count_images(values: Any) -> int:
    """The number of images that a request asks for."""
    return max((count for _, count in find_image_counts(values)), default=1)


def explain_several(values: Any, *, names: Collection[str] = frozenset()) -> list[str]:
    """Why a request for several images is not sent, with `names` as `find_image_counts` has it; each `input: reason`."""
    return [
        f"{name}: {count} images would be paid for and one kept; ask for more with samples"
        for name, count in find_image_counts(values, names=names)
    ]


def parse_image_count(value: Any) -> int | None:
    """A count as a number or as text; None for everything else."""
    # Python takes True for 1, and a flag such as `samples: true` counts nothing.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if 0 <= number <= MOST_COUNTED else None
