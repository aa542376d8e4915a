"""The wooded scenes of a sketch: ridges in morning mist, and firs in fog."""

from __future__ import annotations

from tasks.backends.sketch.canvas import Canvas, Dice, Gradient, Point, build_ridge, build_swell, trace_ground
from tasks.backends.sketch.palette import mix
from tasks.backends.sketch.sky import draw_birds, draw_sky

GOLDEN_SHARE = 0.618
"""Adding it again and again visits 0..1 evenly and without a visible order."""


def draw_mountains(canvas: Canvas) -> None:
    """Ridge behind ridge, the nearest with a few firs on its crest."""
    dice, palette, height = canvas.dice, canvas.palette, canvas.height
    horizon = dice.between(0.46, 0.66)
    sun = draw_sky(canvas, horizon=horizon + 0.06)
    layers, steep = 4 + canvas.detail, dice.between(0.15, 0.27)
    for layer in range(layers):
        near = (layer + 1) / layers
        level = height * (horizon - 0.05 + (0.95 - horizon) * near**1.4)
        heights = build_ridge(dice, canvas.swings(2.6 - near), roughness=0.34 + 0.16 * near)
        floor = height if layer == layers - 1 else min(height, level + height * 0.34)
        swing = canvas.unit * (steep - (steep - 0.1) * near)
        outline = trace_ground(heights, width=canvas.width, level=level, swing=swing, floor=floor)
        colour = palette.distant(0.12 + 0.88 * near**1.15)
        mist = mix(colour, palette.haze, 0.7 * (1 - near) + 0.04)
        canvas.fill([outline], Gradient((colour, mix(colour, mist, 0.7), mist)))
    _plant_firs(canvas, outline[:-2])
    if dice.chance(0.6):
        draw_birds(canvas, sun)


def draw_forest(canvas: Canvas) -> None:
    """Firs, row before row, around a clearing where the light comes in."""
    dice, palette, height = canvas.dice, canvas.palette, canvas.height
    horizon = dice.between(0.54, 0.7)
    sun = draw_sky(canvas, horizon=horizon)
    far = build_ridge(dice, canvas.swings(2.2))
    hills = trace_ground(
        far, width=canvas.width, level=height * (horizon - 0.1), swing=canvas.unit * 0.15, floor=height
    )
    canvas.fill([hills], Gradient((palette.distant(0.2), palette.haze, palette.haze)))
    layers, tallest = 3 + canvas.detail, dice.between(0.32, 0.62)
    for layer in range(layers):
        near = (layer + 1) / layers
        level = height * (horizon + (1.03 - horizon) * near)
        outline = trace_ground(
            build_swell(dice, canvas.swings(2.0)),
            width=canvas.width,
            level=level,
            swing=canvas.unit * 0.05,
            floor=height + 2,
        )
        colour = palette.distant(0.16 + 0.84 * near**1.2)
        floor = mix(colour, palette.haze, 0.75 - 0.68 * near)
        trees = _draw_grove(canvas, outline[:-2], tall=canvas.unit * (0.1 + tallest * near**1.6), near=near)
        canvas.fill([*trees, outline], Gradient((colour, colour, floor)))
        canvas.glow((sun[0], level), canvas.unit * 0.6, palette.haze, opacity=0.45 * (1 - near))
    if dice.chance(0.5):
        draw_birds(canvas, sun)


def _plant_firs(canvas: Canvas, crest: list[Point]) -> None:
    """Set firs along a crest, in groups."""
    dice, trees = canvas.dice, []
    for _ in range(canvas.swings(7.0)):
        middle, tall = int(len(crest) * dice.between(0, 1)), canvas.unit * dice.between(0.04, 0.095)
        for _ in range(dice.whole(1, 6)):
            x, y = crest[max(0, min(len(crest) - 1, middle + dice.whole(-4, 4)))]
            offset = canvas.unit * dice.between(-0.006, 0.006)
            trees.append(_draw_fir(dice, x + offset, y + tall * 0.08, tall * dice.between(0.5, 1)))
    canvas.fill(trees, canvas.palette.deep)


def _draw_grove(canvas: Canvas, soil: list[Point], *, tall: float, near: float) -> list[list[Point]]:
    """Firs along the soil: many far away, a few large ones in front, none in the clearing."""
    dice, trees = canvas.dice, []
    clearing = canvas.width * dice.between(0.35, 0.65)
    count = canvas.swings(36 - 24 * near)
    # One tree in each stretch of the ground, so that no place is empty and none is crowded.
    for index in range(count):
        x, y = soil[int(len(soil) * (index + dice.between(0, 1)) / count)]
        if abs(x - clearing) > canvas.width * 0.2 * near:
            trees.append(_draw_fir(dice, x, y + tall * 0.08, tall * dice.between(0.42, 1.1)))
    return trees


def _draw_fir(dice: Dice, x: float, y: float, tall: float) -> list[Point]:
    """A fir with its foot at (x, y): drooping branches, wider downwards."""
    # A tree of few pixels has room for few branches.
    tiers, ragged = max(3, min(9, round(tall / 5))), dice.between(0, 1)
    left, right = [], []
    for tier in range(1, tiers + 1):
        down = y - tall + tall * 0.94 * tier / tiers
        reach = tall * 0.165 * (tier / tiers) ** 0.85
        left += [(x - reach * (0.8 + 0.3 * ragged), down), (x - reach * 0.42, down - tall * 0.025)]
        ragged = (ragged + GOLDEN_SHARE) % 1
        right += [(x + reach * (0.8 + 0.3 * ragged), down), (x + reach * 0.42, down - tall * 0.025)]
    trunk = tall * 0.018
    return [(x, y - tall), *right, (x + trunk, y), (x - trunk, y), *reversed(left)]
