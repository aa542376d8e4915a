"""The sea of a sketch: a low sun over water, its path of light, islands, perhaps a sail."""

from __future__ import annotations

from tasks.backends.sketch.canvas import Canvas, Gradient, Point, Shape, build_ridge, trace_ellipse
from tasks.backends.sketch.palette import mix
from tasks.backends.sketch.sky import draw_birds, draw_sky


def draw_sea(canvas: Canvas) -> None:
    """Sky and water, held together by the light."""
    dice, palette, width, height = canvas.dice, canvas.palette, canvas.width, canvas.height
    horizon = dice.between(0.4, 0.6)
    sun = draw_sky(canvas, horizon=horizon)
    _draw_islands(canvas, horizon=horizon)
    top, bottom = mix(palette.haze, palette.sky[1], 0.6), mix(palette.sky[0], palette.deep, 0.6)
    shore = round(height * horizon)
    water = Gradient((top, mix(top, bottom, 0.6), bottom))
    canvas.image.paste(water.image(width, height - shore), (0, shore))
    _draw_ripples(canvas, horizon=horizon)
    _draw_light_path(canvas, horizon=horizon, sun=sun)
    if dice.chance(0.65):
        _draw_sail(canvas, horizon=horizon, sun=sun)
    if dice.chance(0.5):
        draw_birds(canvas, sun)


def _draw_islands(canvas: Canvas, *, horizon: float) -> None:
    """Far land that floats on the horizon, highest in its middle."""
    dice, palette = canvas.dice, canvas.palette
    for distance in (0.25, 0.42):
        left, span = canvas.width * dice.between(-0.2, 0.9), canvas.unit * dice.between(0.5, 1.2)
        heights = build_ridge(dice, 4, halvings=4)
        tall, count = canvas.unit * dice.between(0.04, 0.12), len(heights) - 1
        crest = []
        for index, height in enumerate(heights):
            arch = 4 * index * (count - index) / count**2
            crest.append((left + span * index / count, canvas.height * horizon - tall * arch * (0.55 + 0.45 * height)))
        colour = palette.distant(distance)
        canvas.fill([crest], Gradient((colour, mix(colour, palette.haze, 0.5))))


def _draw_ripples(canvas: Canvas, *, horizon: float) -> None:
    """Dashes on the water, wider towards us."""
    dice, unit = canvas.dice, canvas.unit
    dark: list[Shape] = []
    pale: list[Shape] = []
    for y, near in _build_rows(canvas, horizon=horizon):
        for group in (dark, pale):
            for _ in range(canvas.swings(2.2)):
                x, length = canvas.width * dice.between(-0.1, 1.1), unit * (0.02 + 0.13 * near) * dice.between(0.5, 1.6)
                group.append(_draw_dash(x, y, length, unit * (0.0015 + 0.008 * near)))
    canvas.fill(dark, canvas.palette.deep, opacity=0.2)
    canvas.fill(pale, canvas.palette.haze, opacity=0.16)


def _draw_light_path(canvas: Canvas, *, horizon: float, sun: Point) -> None:
    """Bright dashes below the sun."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    bright: list[Shape] = []
    for y, near in _build_rows(canvas, horizon=horizon):
        spread, thick = unit * (0.03 + 0.14 * near), unit * (0.0012 + 0.006 * near)
        for _ in range(4):
            x = sun[0] + spread * dice.between(-1, 1) * dice.between(0.2, 1)
            length = unit * (0.02 + 0.1 * near) * dice.between(0.2, 0.8)
            bright.append(_draw_dash(x, y + thick * dice.between(-2.5, 2.5), length, thick))
    canvas.glow((sun[0], canvas.height * horizon), unit * 0.35, palette.light, opacity=0.45)
    canvas.fill(bright, mix(palette.light, palette.haze, 0.2), opacity=0.8)


def _build_rows(canvas: Canvas, *, horizon: float) -> list[tuple[float, float]]:
    """Heights on the water in px, closer together far away, each with its nearness 0..1."""
    count = 26 + 5 * canvas.detail
    nears = [(row + canvas.dice.between(0, 0.9)) / count for row in range(count)]
    return [(canvas.height * (horizon + 0.006 + (1 - horizon) * near**1.5), near) for near in nears]


def _draw_dash(x: float, y: float, length: float, thick: float) -> list[Point]:
    # A dash of less than this disappears between two pixels.
    thick = max(0.4, thick)
    return [
        (x - length, y),
        (x - length * 0.3, y - thick),
        (x + length * 0.4, y - thick),
        (x + length, y),
        (x, y + thick),
    ]


def _draw_sail(canvas: Canvas, *, horizon: float, sun: Point) -> None:
    """A small boat beside the path of light, over its own shadow."""
    # Beside the path of light and not in it, where it would not be seen.
    dice, palette, size = canvas.dice, canvas.palette, canvas.unit * canvas.dice.between(0.045, 0.085)
    side = 1 if sun[0] < canvas.width / 2 else -1
    x = sun[0] + side * canvas.unit * dice.between(0.2, 0.36)
    y = canvas.height * (horizon + (1 - horizon) * dice.between(0.08, 0.3))

    def part(*points: Point) -> list[Point]:
        return [(x + size * across, y + size * down) for across, down in points]

    sails = [part((0.02, -1.4), (0.02, -0.2), (0.52, -0.2)), part((-0.04, -1.2), (-0.04, -0.2), (-0.42, -0.2))]
    canvas.fill([trace_ellipse((x, y + size * 0.2), size * 0.7, size * 0.13)], palette.deep, opacity=0.35)
    canvas.fill(sails, mix(palette.light, palette.haze, 0.2))
    canvas.fill([part((-0.55, -0.12), (0.6, -0.14), (0.4, 0.06), (-0.4, 0.06))], palette.deep)
