"""The sky above every landscape of a sketch: its light, stars, clouds and birds."""

from __future__ import annotations

from tasks.backends.sketch.canvas import Canvas, Gradient, Point, Shape, trace_ellipse
from tasks.backends.sketch.palette import mix


def draw_sky(canvas: Canvas, *, horizon: float) -> Point:
    """Draw the sky down to `horizon` (a share of the height) with everything in it, and say where its light stands."""
    palette, dice = canvas.palette, canvas.dice
    depth = max(1, round(canvas.height * horizon))
    canvas.wash(Gradient((palette.haze, palette.haze)))
    canvas.image.paste(Gradient(palette.sky).image(canvas.width, depth))
    place = (canvas.width * dice.between(0.2, 0.8), canvas.height * horizon * dice.between(0.35, 0.72))
    if palette.dark:
        draw_stars(canvas, horizon=horizon)
    radius = canvas.unit * dice.between(0.045, 0.11)
    canvas.glow(place, radius * 7, palette.light, opacity=0.55)
    canvas.glow(place, radius * 2.6, palette.light, opacity=0.6)
    disc = trace_ellipse(place, radius, radius)
    canvas.fill([disc], Gradient((palette.light, mix(palette.light, palette.haze, 0.1))))
    draw_clouds(canvas, horizon=horizon)
    return place


def draw_stars(canvas: Canvas, *, horizon: float) -> None:
    """Scatter stars, fewer and fainter towards the horizon."""
    dice, size = canvas.dice, canvas.unit / 512
    # Three depths of stars: a sky of one brightness looks like dust.
    for opacity in (0.35, 0.6, 0.95):
        stars: list[Shape] = []
        for _ in range(round(46 * (1.3 - opacity))):
            x, y = (
                canvas.width * dice.between(0, 1),
                canvas.height * horizon * dice.between(0, 1) * dice.between(0.2, 1),
            )
            radius = max(0.5, size * dice.between(0.5, 0.8 + opacity))
            stars.append([(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)])
        canvas.fill(stars, canvas.palette.light, opacity=opacity)


def draw_clouds(canvas: Canvas, *, horizon: float) -> None:
    """Draw a few long flat clouds, tinted by the horizon."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    tint = mix(palette.haze, palette.light, 0.5)
    for _ in range(dice.whole(1, 3)):
        x, y = canvas.width * dice.between(0, 1), canvas.height * horizon * dice.between(0.15, 0.85)
        puffs: list[Shape] = []
        for _ in range(dice.whole(3, 5)):
            across = unit * dice.between(0.12, 0.34)
            middle = (x + unit * dice.between(-0.24, 0.24), y + unit * dice.between(-0.018, 0.018))
            puffs.append(trace_ellipse(middle, across, across * dice.between(0.035, 0.065)))
        canvas.fill(puffs, tint, opacity=dice.between(0.14, 0.3))


def draw_birds(canvas: Canvas, near: Point) -> None:
    """Draw a small flock that crosses the sky near a point."""
    dice = canvas.dice
    flock: list[Shape] = []
    for _ in range(dice.whole(4, 8)):
        x, y = near[0] + canvas.unit * dice.between(-0.22, 0.22), near[1] + canvas.unit * dice.between(-0.1, 0.07)
        flock.append(_trace_bird(x, y, canvas.unit * dice.between(0.009, 0.02), dice.between(0.25, 0.65)))
    canvas.fill(flock, canvas.palette.deep, opacity=0.8)


def _trace_bird(x: float, y: float, wing: float, lift: float) -> list[Point]:
    """Two bent wings, thin at their tips."""
    upper = [(-1.0, -0.6 * lift), (-0.5, -lift), (0.0, 0.0), (0.5, -lift), (1.0, -0.6 * lift)]
    lower = [(0.5, -lift + 0.2), (0.0, 0.3), (-0.5, -lift + 0.2)]
    return [(x + wing * across, y + wing * down) for across, down in upper + lower]
