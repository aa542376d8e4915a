"""`sharpness`: the variance of the Laplacian, low for images without edges.

The values are those of `cv2.Laplacian(gray, cv2.CV_64F).var()`, but for the outermost pixels, so thresholds that
people know from OpenCV hold here too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from PIL import Image, ImageFilter

from tasks.ledger.scores import Value
from tasks.scores.base import Sample, ScoreContext

NAME = "sharpness"
LAPLACIAN = (0, 1, 0, 1, -4, 1, 0, 1, 0)
SEEN = 254
"""Values that one filtered image tells apart: of its 256 the first and the last also stand for all beyond."""


class Sharpness:
    """The score."""

    batch = 1

    def __init__(self, context: ScoreContext) -> None:
        """Nothing to set up."""

    def measure(self, samples: Sequence[Sample]) -> Sequence[Mapping[str, Value]]:
        """The variance, from 0; it depends on the size of the image."""
        return [{NAME: round(compute_sharpness(sample.image), 2)} for sample in samples]


def compute_sharpness(image: Image.Image) -> float:
    """Variance of the Laplacian of an image's brightness (0 to 255); 0 for one that is too small to have one."""
    if min(image.size) < 3:  # noqa: PLR2004  the side of the filter
        return 0.0
    counts = _count_laplacian(image.convert("L"))
    pixels = counts.total()
    mean = sum(value * count for value, count in counts.items()) / pixels
    return sum((value - mean) ** 2 * count for value, count in counts.items()) / pixels


def _count_laplacian(gray: Image.Image) -> Counter[int]:
    """Count each value of the Laplacian.

    Pillow's filters give 8 bits, and the values go from -1020 to 1020. So the image is filtered once for each part of
    that range; most images need one to three.
    """
    counts, below, above = _count_part(gray, -SEEN // 2)
    lowest, highest = -SEEN // 2, SEEN // 2
    while above:
        part, _, above = _count_part(gray, highest)
        counts, highest = counts + part, highest + SEEN
    while below:
        lowest -= SEEN
        part, below, _ = _count_part(gray, lowest)
        counts += part
    return counts


def _count_part(gray: Image.Image, first: int) -> tuple[Counter[int], int, int]:
    """Counts of the values from `first` on, and how many pixels are below and above this part."""
    filtered = gray.filter(ImageFilter.Kernel((3, 3), LAPLACIAN, scale=1, offset=1 - first))
    # Pillow leaves the outermost pixels as they were.
    histogram = filtered.crop((1, 1, gray.width - 1, gray.height - 1)).histogram()
    seen = Counter({first + place: count for place, count in enumerate(histogram[1:-1]) if count})
    return seen, histogram[0], histogram[-1]
