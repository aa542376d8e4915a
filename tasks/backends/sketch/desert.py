"""The desert of a sketch: dunes with a lit and a shaded side, table mountains, perhaps a cactus."""

from __future__ import annotations

from tasks.backends.sketch.canvas import Canvas, Dice, Gradient, Point, Shape, build_swell, trace_ellipse, trace_ground
from tasks.backends.sketch.palette import mix
from tasks.backends.sketch.sky import draw_birds, draw_sky


def draw_desert(canvas: Canvas) -> None:
    """Dune before dune under a large sun."""
    dice, height = canvas.dice, canvas.height
    horizon = dice.between(0.46, 0.62)
    sun = draw_sky(canvas, horizon=horizon + 0.04)
    _draw_mesas(canvas, level=height * (horizon + 0.02))
    layers, planted = 3 + canvas.detail, dice.chance(0.6)
    for layer in range(layers):
        near = (layer + 1) / layers
        level = height * (horizon + 0.03 + (0.95 - horizon) * near**1.35)
        crest = _draw_dune(canvas, level=level, near=near, sun=sun)
        if planted and layer == layers - 2:
            _plant_cactuses(canvas, crest)
    if dice.chance(0.4):
        draw_birds(canvas, sun)


def _draw_mesas(canvas: Canvas, *, level: float) -> None:
    """Table mountains far away: flat heights with steep sides."""
    dice, palette, heights = canvas.dice, canvas.palette, []
    for _ in range(canvas.swings(4.0)):
        height = dice.pick((-0.6, -0.6, -0.4, 0.1, 0.6, 0.9))
        heights += [height + dice.between(-0.02, 0.02) for _ in range(dice.whole(3, 9))]
    outline = trace_ground(heights, width=canvas.width, level=level, swing=canvas.unit * 0.13, floor=canvas.height)
    rock = mix(palette.haze, mix(palette.accents[0], palette.sky[0], 0.3), 0.55)
    canvas.fill([outline], Gradient((rock, mix(rock, palette.haze, 0.8), palette.haze, palette.haze)))


def _draw_dune(canvas: Canvas, *, level: float, near: float, sun: Point) -> list[Point]:
    """One dune: its lit face, and the shaded sides that fall away from the sun; gives its crest."""
    palette, dice, unit = canvas.palette, canvas.dice, canvas.unit
    heights = build_swell(dice, canvas.swings(1.7))
    outline = trace_ground(
        heights, width=canvas.width, level=level, swing=unit * (0.1 + 0.12 * near), floor=canvas.height
    )
    sand = mix(palette.haze, mix(palette.accents[1], palette.deep, 0.1), 0.3 + 0.6 * near)
    shade = mix(sand, palette.deep, 0.22 + 0.36 * near)
    canvas.fill([outline], Gradient((mix(sand, palette.light, 0.4), sand, mix(sand, shade, 0.6))))
    crest = outline[:-2]
    away = 1 if sun[0] < canvas.width / 2 else -1
    summits = [k for k in range(2, len(crest) - 2) if crest[k - 1][1] >= crest[k][1] < crest[k + 1][1]]
    slopes = [_draw_lee(crest, summit, away, dice) for summit in summits]
    canvas.fill(slopes, Gradient((shade, mix(shade, sand, 0.35))), opacity=0.9)
    return crest


def _draw_lee(crest: list[Point], summit: int, away: int, dice: Dice) -> list[Point]:
    """The shaded side of a summit: a sickle along the crest, from the summit to the valley."""
    valley = summit
    while 0 < valley < len(crest) - 1 and crest[valley + away][1] >= crest[valley][1]:
        valley += away
    (x, y), (end_x, end_y) = crest[summit], crest[valley]
    side = crest[summit : valley + 1] if away > 0 else crest[valley : summit + 1][::-1]
    reach, drop = (end_x - x) * dice.between(0.35, 0.6), (end_y - y) + abs(end_x - x) * dice.between(0.12, 0.3)
    foot = []
    for step in range(21):
        t = step / 20
        bend, end = 2 * t * (1 - t), t * t
        foot.append((x + bend * reach + end * (end_x - x), y + bend * drop + end * (end_y - y)))
    return [*side, *reversed(foot)]


def _plant_cactuses(canvas: Canvas, crest: list[Point]) -> None:
    """Set a few cactuses where a crest is high."""
    dice, palette = canvas.dice, canvas.palette
    parts: list[Shape] = []
    high = sorted(crest[4:-4], key=lambda point: point[1])[: len(crest) // 3]
    for _ in range(dice.whole(2, 4)):
        parts += _draw_cactus(dice, dice.pick(high), canvas.unit * dice.between(0.07, 0.15))
    canvas.fill(parts, mix(palette.deep, palette.accents[0], 0.12))


def _draw_cactus(dice: Dice, foot: Point, tall: float) -> list[Shape]:
    """A column with two bent arms."""
    x, y, thick = *foot, tall * 0.085
    parts: list[Shape] = [_trace_column(x, y + tall * 0.05, y - tall, thick)]
    for side in (-1, 1):
        arm, low = thick * 0.75, y - tall * dice.between(0.3, 0.5)
        reach, high = x + side * tall * dice.between(0.22, 0.3), low - tall * dice.between(0.2, 0.4)
        parts += [_trace_column(reach, low, high, arm), trace_ellipse((reach, low), arm, arm)]
        parts.append([(x, low - arm), (reach, low - arm), (reach, low + arm), (x, low + arm)])
    return parts


def _trace_column(x: float, foot: float, top: float, thick: float) -> list[Point]:
    """An upright bar with a round top."""
    return [(x - thick, foot), *trace_ellipse((x, top), thick, thick, start=0.5, end=1.0), (x + thick, foot)]
