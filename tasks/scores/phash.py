"""`phash`: a perceptual hash, nearly equal for images that look alike.

The 64 bits are those of `imagehash.phash`, so hashes of both can be compared. It is not used itself: it brings NumPy,
SciPy and PyWavelets, 150 MB, for a cosine transform of 32 x 32 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import cos, pi
from operator import mul
from statistics import median

from PIL import Image

from tasks.ledger.scores import Value
from tasks.scores.base import Sample, ScoreContext

NAME = "phash"
SIDE_PX = 32
"""The image is reduced to this square first."""
FREQUENCIES = 8
"""Lowest frequencies in each direction; their signs are the bits."""
DECIMALS = 6
"""Decimals that are kept; smaller ones are noise of the sums, and gave an image of one colour random bits."""


class Phash:
    """The score."""

    batch = 1

    def __init__(self, context: ScoreContext) -> None:
        """Nothing to set up: it is computed on the processor."""

    def measure(self, samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        """The hash as 16 hex digits."""
        return [{NAME: f"{compute_phash(sample.image):016x}"} for sample in samples]


def compute_phash(image: Image.Image) -> int:
    """64 bits; images that look alike differ in few of them."""
    small = image.convert("L").resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    pixels = small.tobytes()
    basis = _build_basis()
    rows = [pixels[start : start + SIDE_PX] for start in range(0, len(pixels), SIDE_PX)]
    # Rows first, then columns: 10,000 products instead of 65,000.
    across = [[sum(map(mul, wave, row)) for row in rows] for wave in basis]
    values = [round(sum(map(mul, wave, column)), DECIMALS) for wave in basis for column in across]
    middle = median(values)
    return int("".join("1" if value > middle else "0" for value in values), 2)


@cache
def _build_basis() -> list[list[float]]:
    """The lowest cosine waves over one side (DCT-II)."""
    step = pi / (2 * SIDE_PX)
    return [[cos(step * (2 * place + 1) * frequency) for place in range(SIDE_PX)] for frequency in range(FREQUENCIES)]
