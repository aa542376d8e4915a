"""A city at the water: towers row behind row, their lit windows, and the mirror image below the quay."""

from __future__ import annotations

from PIL import Image, ImageFilter

from tasks.backends.sketch.canvas import Canvas, Dice, Gradient, Point, Shape
from tasks.backends.sketch.palette import mix
from tasks.backends.sketch.sky import draw_sky

SMALLEST_STEP_PX = 1.5
"""Windows closer together than this would only be a grey veil."""


def draw_city(canvas: Canvas) -> None:
    """Towers with lit windows, and their reflection in the water before them."""
    dice, palette, height = canvas.dice, canvas.palette, canvas.height
    quay = dice.between(0.7, 0.8)
    draw_sky(canvas, horizon=quay)
    layers = min(3 + canvas.detail // 2, 5)
    for layer in range(layers):
        near = (layer + 1) / layers
        colour = palette.distant(0.2 + 0.76 * near)
        towers = _build_towers(canvas, quay=height * quay, near=near)
        outline: list[Shape] = [shape for tower in towers for shape in tower.shapes()]
        canvas.fill(outline, Gradient((colour, mix(colour, palette.haze, 0.5 - 0.4 * near))))
        lit = [window for tower in towers for window in tower.windows(dice)]
        canvas.fill(lit, mix(palette.light, palette.accents[0], 0.15), opacity=0.2 + 0.7 * near**2)
        canvas.fill(lit[:: dice.whole(5, 9)], palette.accents[0], opacity=0.7 * near**2)
    _mirror(canvas, quay=round(height * quay))


class _Tower:
    """One building, px."""

    def __init__(self, dice: Dice, left: float, width: float, top: float, foot: float) -> None:
        """Build between these lines; roof and lights fall to chance."""
        self.left, self.width, self.top, self.foot = left, width, top, foot
        self._roof = dice.pick(("flat", "flat", "step", "spire", "slope"))
        self._lit = dice.between(0.08, 0.5)
        self._columns = dice.whole(3, 6)

    def shapes(self) -> list[Shape]:
        """The outline, with its roof."""
        left, right, top = self.left, self.left + self.width, self.top
        middle, lift = left + self.width / 2, self.width * 0.35
        body: list[Shape] = [_trace_box(left, top, right, self.foot)]
        match self._roof:
            case "step":
                body.append(_trace_box(left + self.width * 0.2, top - lift * 0.6, right - self.width * 0.2, top + 1))
            case "spire":
                body.append([(left, top + 1), (middle, top - lift), (right, top + 1)])
                body.append(_trace_box(middle - self.width * 0.02, top - lift * 2.6, middle + self.width * 0.02, top))
            case "slope":
                body.append([(left, top + 1), (right, top - lift), (right, top + 1)])
        return body

    def windows(self, dice: Dice) -> list[Shape]:
        """The lit ones."""
        columns = self._columns
        step = self.width / (columns + 0.5)
        if step < SMALLEST_STEP_PX:
            return []
        # A tower of a city is not seen with more rows than this.
        rows = min(40, int((self.foot - self.top) / (step * 1.25)))
        lit: list[Shape] = []
        for row in range(rows):
            for column in range(columns):
                if dice.chance(self._lit):
                    x, y = self.left + step * (column + 0.5), self.top + step * (1.25 * row + 0.6)
                    lit.append(_trace_box(x, y, x + step * 0.5, y + step * 0.62))
        return lit


def _trace_box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _build_towers(canvas: Canvas, *, quay: float, near: float) -> list[_Tower]:
    """A row of buildings from edge to edge, highest around a centre of its own."""
    dice, unit = canvas.dice, canvas.unit
    centre, left = canvas.width * dice.between(0.3, 0.7), -unit * 0.02
    towers = []
    while left < canvas.width:
        width = unit * dice.between(0.05, 0.11)
        crowd = max(0.0, 1 - abs(left + width / 2 - centre) / (canvas.width * 0.55))
        tall = (
            canvas.height
            * (0.1 + 0.36 * crowd**1.3 * dice.between(0.5, 1) + dice.between(0, 0.08))
            * (1.15 - 0.35 * near)
        )
        towers.append(_Tower(dice, left, width, quay - tall, quay))
        left += width * dice.between(0.85, 1.2)
    return towers


def _mirror(canvas: Canvas, *, quay: int) -> None:
    """Turn what stands above the quay over into the water below, darker and broken by ripples."""
    dice, palette, depth = canvas.dice, canvas.palette, canvas.height - quay
    above = canvas.image.crop((0, max(0, quay - round(depth * 1.7)), canvas.width, quay))
    flipped = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((canvas.width, depth), Image.Resampling.BILINEAR)
    soft = flipped.filter(ImageFilter.BoxBlur((0, max(1, depth // 40))))
    canvas.image.paste(
        Image.blend(soft, Image.new("RGB", soft.size, mix(palette.deep, palette.sky[0], 0.3)), 0.42), (0, quay)
    )
    ripples: list[Shape] = []
    for _ in range(60):
        near = dice.between(0, 1)
        x, y = canvas.width * dice.between(0, 1), quay + depth * (0.05 + 0.95 * near)
        length, thick = (
            canvas.unit * (0.03 + 0.1 * near) * dice.between(0.4, 1),
            max(0.4, canvas.unit * 0.003 * (0.4 + near)),
        )
        ripples.append([(x - length, y), (x, y - thick), (x + length, y), (x, y + thick)])
    canvas.fill(ripples[::2], palette.haze, opacity=0.2)
    canvas.fill(ripples[1::2], palette.deep, opacity=0.3)
    canvas.fill([_trace_box(0, quay - canvas.unit * 0.004, canvas.width, quay + canvas.unit * 0.004)], palette.deep)
