"""The landscapes of a sketch: mountains, sea, desert and forest, from the horizon to the foreground."""

from __future__ import annotations

from tasks.backends.sketch_canvas import Canvas, Dice, Gradient, Point, Shape, ellipse, ground, ridge, swell
from tasks.backends.sketch_palette import mix
from tasks.backends.sketch_sky import draw_birds, draw_sky


def draw_mountains(canvas: Canvas) -> None:
    """Ridge behind ridge in morning mist."""
    dice, palette, height = canvas.dice, canvas.palette, canvas.height
    horizon = dice.between(0.5, 0.66)
    sun = draw_sky(canvas, horizon=horizon + 0.08)
    layers = 4 + canvas.detail
    for layer in range(layers):
        near = (layer + 1) / layers
        level = height * (horizon - 0.06 + (0.94 - horizon) * near**1.4)
        heights = ridge(dice, _peaks(canvas, 2.6 - near), roughness=0.36 + 0.14 * near)
        swing = canvas.unit * (0.21 - 0.11 * near)
        floor = height if layer == layers - 1 else min(height, level + height * 0.34)
        colour = mix(palette.haze, palette.deep, 0.1 + 0.9 * near**1.25)
        mist = mix(colour, palette.haze, 0.62 * (1 - near) + 0.05)
        outline = ground(heights, width=canvas.width, level=level, swing=swing, floor=floor)
        canvas.fill([outline], Gradient((colour, mix(colour, mist, 0.6), mist)))
        if layer == layers - 1:
            _plant(canvas, outline[:-2])
    if dice.chance(0.6):
        draw_birds(canvas, sun)


def draw_sea(canvas: Canvas) -> None:
    """A low sun over water, its path of light, and perhaps a sail."""
    dice, palette, width, height = canvas.dice, canvas.palette, canvas.width, canvas.height
    horizon = dice.between(0.44, 0.58)
    sun = draw_sky(canvas, horizon=horizon)
    _islands(canvas, horizon=horizon)
    top, bottom = mix(palette.haze, palette.sky[1], 0.55), mix(palette.sky[0], palette.deep, 0.62)
    shore = height * horizon
    sheet = [(0.0, shore), (float(width), shore), (float(width), float(height)), (0.0, float(height))]
    canvas.fill([sheet], Gradient((top, mix(top, bottom, 0.6), bottom)))
    _ripples(canvas, horizon=horizon, sun=sun)
    if dice.chance(0.65):
        _sail(canvas, horizon=horizon, sun=sun)
    if dice.chance(0.5):
        draw_birds(canvas, sun)


def draw_desert(canvas: Canvas) -> None:
    """Dunes with a lit and a shaded side under a large sun."""
    dice, palette, height = canvas.dice, canvas.palette, canvas.height
    horizon = dice.between(0.46, 0.6)
    sun = draw_sky(canvas, horizon=horizon + 0.06)
    mesas = ground(
        _mesas(dice, canvas), width=canvas.width, level=height * horizon, swing=canvas.unit * 0.13, floor=height
    )
    rock = mix(palette.haze, palette.accents[0], 0.5)
    canvas.fill([mesas], Gradient((rock, mix(rock, palette.haze, 0.7), palette.haze)))
    layers = 3 + canvas.detail
    for layer in range(layers):
        near = (layer + 1) / layers
        level = height * (horizon + 0.02 + (0.95 - horizon) * near**1.35)
        _dune(canvas, level=level, near=near, sun=sun)


def draw_forest(canvas: Canvas) -> None:
    """Firs in fog, row before row."""
    dice, palette, height = canvas.dice, canvas.palette, canvas.height
    horizon = dice.between(0.6, 0.72)
    sun = draw_sky(canvas, horizon=horizon)
    layers = 4 + canvas.detail
    for layer in range(layers):
        near = (layer + 1) / layers
        level = height * (horizon - 0.02 + (1.04 - horizon) * near)
        colour = mix(palette.haze, palette.deep, 0.14 + 0.86 * near**1.3)
        floor = mix(colour, palette.haze, 0.7 - 0.62 * near)
        soil = swell(dice, _peaks(canvas, 2.0))
        outline = ground(soil, width=canvas.width, level=level, swing=canvas.unit * 0.05, floor=height)
        tall = canvas.unit * (0.13 + 0.36 * near**1.5)
        trees = _grove(canvas, outline[:-2], tall=tall, near=near)
        canvas.fill([*trees, outline], Gradient((colour, colour, floor, floor)))
        canvas.glow((sun[0], level), canvas.unit * 0.5, palette.haze, opacity=0.4 * (1 - near))
    if dice.chance(0.5):
        draw_birds(canvas, sun)


def _peaks(canvas: Canvas, per_unit: float) -> int:
    return max(2, round(per_unit * canvas.width / canvas.unit))


def _plant(canvas: Canvas, crest: list[Point]) -> None:
    """Set firs along the nearest crest, in groups."""
    dice = canvas.dice
    trees = []
    for _ in range(round(26 * canvas.width / canvas.unit)):
        x, y = crest[int(len(crest) * dice.between(0, 1) ** 1.6)] if dice.chance(0.6) else dice.pick(crest)
        trees.append(_fir(dice, x, y, canvas.unit * dice.between(0.03, 0.085)))
    canvas.fill(trees, canvas.palette.deep)


def _grove(canvas: Canvas, soil: list[Point], *, tall: float, near: float) -> list[list[Point]]:
    """Firs along the soil: many far away, a few large ones in front, with a clearing where the light falls."""
    dice = canvas.dice
    clearing = canvas.width * dice.between(0.35, 0.65)
    count = round((34 - 22 * near) * canvas.width / canvas.unit)
    trees = []
    for index in range(count):
        x, y = soil[int(len(soil) * (index + dice.between(0, 1)) / count)]
        if abs(x - clearing) > canvas.width * 0.2 * near:
            trees.append(_fir(dice, x, y + tall * 0.04, tall * dice.between(0.55, 1.1)))
    return trees


def _fir(dice: Dice, x: float, y: float, tall: float) -> list[Point]:
    """A fir on the ground at (x, y): drooping branches, wider downwards."""
    tiers = 9
    left, right = [], []
    for tier in range(1, tiers + 1):
        down = y - tall + tall * 0.94 * tier / tiers
        reach = tall * 0.2 * (tier / tiers) ** 0.85
        left += [(x - reach * dice.between(0.8, 1.1), down), (x - reach * 0.42, down - tall * 0.025)]
        right += [(x + reach * dice.between(0.8, 1.1), down), (x + reach * 0.42, down - tall * 0.025)]
    trunk = tall * 0.018
    return [(x, y - tall), *right, (x + trunk, y), (x - trunk, y), *reversed(left)]


def _mesas(dice: Dice, canvas: Canvas) -> list[float]:
    """Table mountains: flat heights with steep sides."""
    heights: list[float] = []
    for _ in range(_peaks(canvas, 4.0)):
        height = dice.pick((-0.6, -0.6, -0.4, 0.2, 0.75, 1.0))
        heights += [height] * dice.whole(3, 9)
    return [height + dice.between(-0.02, 0.02) for height in heights]


def _dune(canvas: Canvas, *, level: float, near: float, sun: Point) -> None:
    """One dune: its lit face down to the floor, and the shaded side that falls away from the sun."""
    palette, dice, unit = canvas.palette, canvas.dice, canvas.unit
    heights = swell(dice, _peaks(canvas, 1.5))
    outline = ground(heights, width=canvas.width, level=level, swing=unit * (0.09 + 0.1 * near), floor=canvas.height)
    sand = mix(palette.haze, mix(palette.accents[1], palette.deep, 0.12), 0.3 + 0.6 * near)
    shade = mix(sand, palette.deep, 0.25 + 0.4 * near)
    canvas.fill([outline], Gradient((mix(sand, palette.light, 0.35), sand, mix(sand, shade, 0.55))))
    crest = outline[:-2]
    away = 1 if sun[0] < canvas.width / 2 else -1
    summits = [k for k in range(2, len(crest) - 2) if crest[k - 1][1] >= crest[k][1] < crest[k + 1][1]]
    slopes = [_lee(crest, summit, away, dice) for summit in summits]
    canvas.fill(slopes, Gradient((shade, mix(shade, sand, 0.5))), opacity=0.9)


def _lee(crest: list[Point], summit: int, away: int, dice: Dice) -> list[Point]:
    """The shaded side of a summit: along the crest to its valley, and back along a winding edge."""
    valley = summit
    while 0 < valley < len(crest) - 1 and crest[valley + away][1] >= crest[valley][1]:
        valley += away
    (x, y), (end_x, end_y) = crest[summit], crest[valley]
    side = crest[summit : valley + 1] if away > 0 else crest[valley : summit + 1][::-1]
    bend, drop = dice.between(0.1, 0.4), (end_y - y) + abs(end_x - x) * dice.between(0.25, 0.5)
    foot = [
        (x + (end_x - x) * (bend * (1 - t) * t * 2 + t * t), y + drop * (1.6 * t - 0.6 * t * t)) for t in _steps(14)
    ]
    return [*side, *reversed(foot)]


def _steps(count: int) -> list[float]:
    return [step / count for step in range(count + 1)]


def _islands(canvas: Canvas, *, horizon: float) -> None:
    """Far land that floats on the horizon."""
    dice, palette = canvas.dice, canvas.palette
    for distance in (0.3, 0.5):
        middle, span = canvas.width * dice.between(0, 1), canvas.unit * dice.between(0.25, 0.6)
        heights = ridge(dice, 4, halvings=4)
        count = len(heights) - 1
        tall = canvas.unit * dice.between(0.04, 0.1)
        crest = [
            (
                middle + span * (2 * i / count - 1),
                canvas.height * horizon - tall * (0.5 + 0.5 * h) * 4 * i * (count - i) / count**2,
            )
            for i, h in enumerate(heights)
        ]
        colour = mix(palette.haze, palette.deep, distance)
        canvas.fill([crest], Gradient((colour, mix(colour, palette.haze, 0.6))))


def _ripples(canvas: Canvas, *, horizon: float, sun: Point) -> None:
    """Dashes on the water, wider towards us: dark ones everywhere, bright ones in a path below the sun."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    dark: list[Shape] = []
    pale: list[Shape] = []
    bright: list[Shape] = []
    rows = 26 + 5 * canvas.detail
    for row in range(rows):
        near = (row + dice.between(0, 0.9)) / rows
        y = canvas.height * (horizon + (1 - horizon) * near**1.5)
        length, thick = unit * (0.02 + 0.12 * near), max(0.4, unit * (0.0015 + 0.008 * near))
        for group in (dark, pale):
            group += [
                _dash(canvas.width * dice.between(-0.1, 1.1), y, length * dice.between(0.5, 1.6), thick) for _ in "12"
            ]
        spread = unit * (0.03 + 0.15 * near)
        bright += [
            _dash(
                sun[0] + spread * dice.between(-1, 1) * dice.between(0.3, 1),
                y + thick * dice.between(-2, 2),
                length * dice.between(0.3, 0.9),
                thick,
            )
            for _ in range(4)
        ]
    canvas.fill(dark, palette.deep, opacity=0.2)
    canvas.fill(pale, palette.haze, opacity=0.16)
    canvas.glow((sun[0], canvas.height * horizon), unit * 0.32, palette.light, opacity=0.4)
    canvas.fill(bright, palette.light, opacity=0.78)


def _dash(x: float, y: float, length: float, thick: float) -> list[Point]:
    return [
        (x - length, y),
        (x - length * 0.3, y - thick),
        (x + length * 0.4, y - thick),
        (x + length, y),
        (x, y + thick),
    ]


def _sail(canvas: Canvas, *, horizon: float, sun: Point) -> None:
    """A small boat beside the path of light, with its reflection."""
    dice, palette = canvas.dice, canvas.palette
    side = 1 if sun[0] < canvas.width / 2 else -1
    x = sun[0] + side * canvas.unit * dice.between(0.16, 0.34)
    y = canvas.height * (horizon + (1 - horizon) * dice.between(0.08, 0.3))
    size = canvas.unit * dice.between(0.05, 0.09)
    hull = [(-0.55, -0.12), (0.6, -0.14), (0.4, 0.06), (-0.4, 0.06)]
    main, jib = [(0.02, -1.3), (0.02, -0.2), (0.5, -0.2)], [(-0.04, -1.15), (-0.04, -0.2), (-0.42, -0.2)]
    canvas.fill([ellipse((x, y + size * 0.2), size * 0.7, size * 0.13)], palette.deep, opacity=0.35)
    canvas.fill(
        [[(x + size * a, y + size * d) for a, d in part] for part in (main, jib)], mix(palette.light, palette.haze, 0.2)
    )
    canvas.fill([[(x + size * a, y + size * d) for a, d in hull]], palette.deep)
