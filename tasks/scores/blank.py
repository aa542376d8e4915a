"""`blank`: images of one colour, such as the black ones that safety filters return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageChops

from tasks.ledger.scores import Value
from tasks.scores.base import Sample, ScoreContext

NAME = "blank"
TOLERANCE = 4
"""Of 255, in each channel: lossy formats change an even colour by this much."""
LEAST_SHARE = 0.995
"""Of the pixels; an emblem in a corner of a black image is below the rest."""


class Blank:
    """The score."""

    batch = 1

    def __init__(self, context: ScoreContext) -> None:
        """Nothing to set up."""

    def measure(self, samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        """`blank` (true or false), `blank_share` of the pixels, and of a blank image `blank_color`."""
        return [_measure(sample.image) for sample in samples]


def _measure(image: Image.Image) -> Mapping[str, Value]:
    color, share = find_main_color(image)
    found: dict[str, Value] = {NAME: share >= LEAST_SHARE, f"{NAME}_share": round(share, 4)}
    return found | ({f"{NAME}_color": "#{:02x}{:02x}{:02x}".format(*color)} if found[NAME] else {})


def find_main_color(image: Image.Image) -> tuple[tuple[int, int, int], float]:
    """The middle colour of an RGB image and the share of its pixels that have it, from 0 to 1.

    Where more than half of the pixels have one colour, the median of each channel is that colour.
    """
    histogram = image.histogram()
    pixels = image.width * image.height
    red, green, blue = (_find_median(histogram[start : start + 256], pixels) for start in (0, 256, 512))
    color = (red, green, blue)
    apart = ImageChops.difference(image, Image.new("RGB", image.size, color)).split()
    worst = ImageChops.lighter(ImageChops.lighter(apart[0], apart[1]), apart[2])
    return color, sum(worst.histogram()[: TOLERANCE + 1]) / pixels


def _find_median(histogram: Sequence[int], pixels: int) -> int:
    passed = 0
    for value, count in enumerate(histogram):
        passed += count
        if 2 * passed >= pixels:
            return value
    return len(histogram) - 1
