"""The drawing board of a sketch: dice that fall the same everywhere, and smooth-edged shapes on an image.

Everything heavy is done by Pillow on whole regions; Python only computes outlines. Only
`random.Random.random` is used of the random module: its sequence for a seed is the one that Python promises
to keep.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from random import Random
from typing import TypeVar

from PIL import Image, ImageDraw

from tasks.backends.sketch.palette import Colour, Palette

T = TypeVar("T")
Point = tuple[float, float]
Shape = Sequence[Point]

SMALL_AREA_PX = 160 * 160
"""Up to this area a shape is drawn four times as large as it ends, above it twice: edges of small things show most."""


class Dice:
    """Chance that is decided by `key` alone, on every machine."""

    def __init__(self, key: str) -> None:
        """Start the sequence that belongs to `key`."""
        self._random = Random(int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest(), "big"))  # noqa: S311  images, not secrets

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random.random()

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int((high - low + 1) * self._random.random())

    def pick(self, things: Sequence[T]) -> T:
        """One of the things."""
        return things[int(len(things) * self._random.random())]

    def chance(self, share: float) -> bool:
        """True in `share` of all throws."""
        return self._random.random() < share

    def mixed(self, things: Sequence[T]) -> list[T]:
        """All the things, in another order."""
        return [
            thing for _, thing in sorted(((self._random.random(), thing) for thing in things), key=lambda it: it[0])
        ]


@dataclass(frozen=True, slots=True)
class Gradient:
    """A paint that changes evenly from the top of what it fills to its bottom."""

    stops: tuple[Colour, ...]

    def image(self, width: int, height: int) -> Image.Image:
        """The paint as an image of this size."""
        column = Image.new("RGB", (1, len(self.stops)))
        for y, colour in enumerate(self.stops):
            column.putpixel((0, y), colour)
        return column.resize((width, height), Image.Resampling.BILINEAR, box=(0, 0.5, 1, len(self.stops) - 0.5))


Paint = Colour | Gradient


@dataclass(frozen=True, slots=True)
class Canvas:
    """An image that is being drawn, with the palette and the dice that draw it."""

    width: int
    height: int
    palette: Palette
    dice: Dice
    detail: int
    """The number of layers to add to what a scene has at least, 0..6."""
    image: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        """Lay an empty sheet on the board."""
        object.__setattr__(self, "image", Image.new("RGB", (self.width, self.height), self.palette.haze))

    @property
    def unit(self) -> float:
        """The length in px that sizes are given in, so that a scene keeps its weight at any aspect ratio."""
        shorter, longer = sorted((self.width, self.height))
        # Of a very long image the shorter side decides, or the shapes would not fit on it.
        return max(min(math.sqrt(shorter * longer), 1.4 * shorter), longer / 8)

    def swings(self, per_unit: float) -> int:
        """Number of things across, of which `per_unit` stand in a unit of length; at least 2."""
        return max(2, round(per_unit * self.width / self.unit))

    def wash(self, paint: Gradient) -> None:
        """Cover everything."""
        self.image.paste(paint.image(self.width, self.height))

    def fill(self, shapes: Sequence[Shape], paint: Paint, *, opacity: float = 1.0) -> None:
        """Paint the union of the shapes (px), smooth at the edges; a gradient runs over their common height."""
        box = self._bounds(shapes)
        if box is None:
            return
        left, top, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
        # The larger the shape, the less its edge shows, and the more the scale would cost.
        scale = 4 if width * height <= SMALL_AREA_PX else 2
        mask = Image.new("L", (width * scale, height * scale))
        pen, level = ImageDraw.Draw(mask), round(255 * opacity)
        for shape in shapes:
            pen.polygon([(round((x - left) * scale), round((y - top) * scale)) for x, y in shape], fill=level)
        source = paint.image(width, height) if isinstance(paint, Gradient) else paint
        self.image.paste(source, box, mask.reduce(scale))

    def glow(self, centre: Point, radius: float, colour: Colour, *, opacity: float = 1.0) -> None:
        """Let a light shine from `centre`, gone at `radius` px."""
        left, top, side = round(centre[0] - radius), round(centre[1] - radius), max(2, round(2 * radius))
        light = _build_falloff().resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        light = light.point([round(level * opacity) for level in range(256)])
        self.image.paste(colour, (left, top, left + side, top + side), light)

    def _bounds(self, shapes: Sequence[Shape]) -> tuple[int, int, int, int] | None:
        """Whole pixels around the part of the shapes that lies on the sheet; None when none does."""
        across = [x for shape in shapes for x, _ in shape]
        down = [y for shape in shapes for _, y in shape]
        if not across:
            return None
        left, right = max(0, int(min(across)) - 1), min(self.width, int(max(across)) + 2)
        top, bottom = max(0, int(min(down)) - 1), min(self.height, int(max(down)) + 2)
        return (left, top, right, bottom) if left < right and top < bottom else None


@cache
def _build_falloff() -> Image.Image:
    """A soft round light, 256 px: full in the middle, nothing from the edge on."""
    # Pillow's gradient reaches 255 in the corners, and 255 / sqrt(2) in the middle of each edge.
    return Image.radial_gradient("L").point([round(255 * (max(0, 178 - d) / 178) ** 2) for d in range(256)])


def trace_ellipse(
    centre: Point, across: float, down: float, *, turn: float = 0.0, start: float = 0.0, end: float = 1.0
) -> list[Point]:
    """The outline of an ellipse of these half-axes (px), or of the part between two shares of the round.

    `turn` rotates it, in shares of a full turn.
    """
    # More corners than pixels of the outline cannot be seen.
    corners = max(8, min(96, round(max(across, down))))
    cos, sin = math.cos(math.tau * turn), math.sin(math.tau * turn)
    points = []
    for step in range(corners + 1):
        angle = math.tau * (start + (end - start) * step / corners)
        x, y = across * math.cos(angle), down * math.sin(angle)
        points.append((centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos))
    return points


def build_ridge(dice: Dice, peaks: int, *, halvings: int = 5, roughness: float = 0.5) -> list[float]:
    """A skyline of heights around -1..1, evenly spaced: `peaks` big swings, halved and roughened again and again."""
    heights = [dice.between(-1, 1) for _ in range(peaks + 1)]
    swing = roughness
    for _ in range(halvings):
        middles = [(a + b) / 2 + dice.between(-swing, swing) for a, b in pairwise(heights)]
        heights = [height for pair in zip(heights, middles, strict=False) for height in pair] + heights[-1:]
        swing *= roughness
    return heights


def build_swell(dice: Dice, waves: int, *, samples: int = 16) -> list[float]:
    """A soft line of heights in -1..1, evenly spaced: `waves` knots joined without corners."""
    knots = [dice.between(-1, 1) for _ in range(waves + 3)]
    line = []
    for first, second, third, fourth in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        for step in range(samples):
            t = step / samples
            # A curve of third degree through the knots, without a corner where they meet.
            ease = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
            line.append((ease[0] * first + ease[1] * second + ease[2] * third + ease[3] * fourth) / 6)
    return line


def trace_ground(heights: Sequence[float], *, width: float, level: float, swing: float, floor: float) -> list[Point]:
    """The outline of land under a line of heights: `swing` px up and down around `level`, and down to `floor`."""
    step = width / (len(heights) - 1)
    crest = [(index * step, level - swing * height) for index, height in enumerate(heights)]
    return [*crest, (width, floor), (0, floor)]
