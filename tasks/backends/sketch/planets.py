"""Worlds on their orbits: a sun, thin rings of motion, and one banded planet that is near."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from tasks.backends.sketch.canvas import Canvas, Gradient, Point, trace_ellipse
from tasks.backends.sketch.palette import Colour, mix
from tasks.backends.sketch.sky import draw_stars


def draw_planets(canvas: Canvas) -> None:
    """Worlds on their orbits, one of them near."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    dusk = mix(palette.deep, palette.sky[0], 0.45)
    canvas.wash(Gradient((mix(palette.deep, (0, 0, 0), 0.3), dusk, mix(dusk, palette.sky[1], 0.35))))
    for _ in range(5 + canvas.detail):
        place = (canvas.width * dice.between(0, 1), canvas.height * dice.between(0, 1))
        canvas.glow(
            place,
            unit * dice.between(0.3, 0.7),
            dice.pick((*palette.accents, palette.sky[2])),
            opacity=dice.between(0.08, 0.22),
        )
    draw_stars(canvas, horizon=1.3)
    sun = (canvas.width * dice.between(0.15, 0.4), canvas.height * dice.between(0.18, 0.4))
    tilt, flat = dice.between(-0.06, 0.06), dice.between(0.3, 0.5)
    _draw_orbits(canvas, sun=sun, tilt=tilt, flat=flat)
    place = (canvas.width * dice.between(0.58, 0.78), canvas.height * dice.between(0.58, 0.76))
    _draw_world(canvas, place, unit * dice.between(0.2, 0.3), sun=sun, ringed=dice.chance(0.7))


def _draw_orbits(canvas: Canvas, *, sun: Point, tilt: float, flat: float) -> None:
    """The sun, thin orbits around it, and a small world on each."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    for index in range(4 + canvas.detail // 2):
        reach = unit * (0.24 + 0.17 * index)
        line = unit * 0.0011
        ring = (
            trace_ellipse(sun, reach + line, (reach + line) * flat, turn=tilt)
            + trace_ellipse(sun, reach - line, (reach - line) * flat, turn=tilt)[::-1]
        )
        canvas.fill([ring], palette.light, opacity=0.3)
        x, y = trace_ellipse(sun, reach, reach * flat, turn=tilt, start=dice.between(0, 1))[0]
        _draw_ball(canvas, (x, y), unit * dice.between(0.012, 0.03), dice.pick(palette.accents), sun)
    canvas.glow(sun, unit * 0.5, palette.light, opacity=0.6)
    canvas.glow(sun, unit * 0.16, palette.light, opacity=0.9)
    canvas.fill([trace_ellipse(sun, unit * 0.055, unit * 0.055)], palette.light)


def _draw_ball(canvas: Canvas, place: Point, radius: float, colour: Colour, sun: Point) -> None:
    east, south = _find_direction(place, sun)
    lit = (place[0] + east * radius * 0.26, place[1] + south * radius * 0.26)
    canvas.fill([trace_ellipse(place, radius, radius)], mix(colour, canvas.palette.deep, 0.55))
    canvas.fill(
        [trace_ellipse(lit, radius * 0.68, radius * 0.68)], mix(colour, canvas.palette.light, 0.25), opacity=0.85
    )


def _draw_world(canvas: Canvas, place: Point, radius: float, *, sun: Point, ringed: bool) -> None:
    """A near planet: bands, night on the side away from the sun, and perhaps a ring around it."""
    dice, palette = canvas.dice, canvas.palette
    tilt = dice.between(-0.08, 0.08)
    ring = (
        [(place, radius * reach, opacity) for reach, opacity in ((1.75, 0.35), (1.55, 0.6), (1.42, 0.4))]
        if ringed
        else []
    )
    # The half behind the globe first, and the half in front of it after the globe.
    for half in (0.5, 0.0):
        if not half:
            _draw_globe(canvas, place, radius, sun=sun, tilt=tilt)
        for centre, reach, opacity in ring:
            outer = trace_ellipse(centre, reach, reach * 0.24, turn=tilt, start=half, end=half + 0.5)
            inner = trace_ellipse(centre, reach * 0.91, reach * 0.91 * 0.24, turn=tilt, start=half, end=half + 0.5)
            canvas.fill([outer + inner[::-1]], mix(palette.light, palette.accents[1], 0.4), opacity=opacity)


def _draw_globe(canvas: Canvas, place: Point, radius: float, *, sun: Point, tilt: float) -> None:
    """The planet itself: clouds in bands, and the terminator between day and night."""
    palette, side = canvas.palette, max(4, round(radius * 2))
    globe = _build_bands(canvas, side=side, tilt=tilt)
    east, south = _find_direction(place, sun)
    # The terminator runs between day and night, away from the sun.
    left, top = round(side * (0.5 - 0.34 * east)), round(side * (0.5 - 0.34 * south))
    shade = Image.radial_gradient("L").resize((side * 2, side * 2), Image.Resampling.BILINEAR)
    shade = shade.crop((left, top, left + side, top + side))
    depths = [max(0.0, min(1.0, (level - 34) / 118)) for level in range(256)]
    night = shade.point([round(240 * depth * depth * (3 - 2 * depth)) for depth in depths])
    globe.paste(mix(palette.deep, (0, 0, 0), 0.4), mask=night)
    canvas.glow(place, radius * 1.5, palette.light, opacity=0.4)
    disc = Image.new("L", (side * 2, side * 2))
    ImageDraw.Draw(disc).ellipse((1, 1, side * 2 - 2, side * 2 - 2), fill=255)
    canvas.image.paste(globe, (round(place[0] - side / 2), round(place[1] - side / 2)), disc.reduce(2))


def _build_bands(canvas: Canvas, *, side: int, tilt: float) -> Image.Image:
    """A square of tilted stripes in three of the accents."""
    dice, palette = canvas.dice, canvas.palette
    base = dice.mixed(palette.accents)[:3]
    shades = (palette.light, palette.deep)
    stops = tuple(mix(dice.pick(base), dice.pick(shades), dice.between(0, 0.35)) for _ in range(17))
    square = Gradient(stops).image(side * 2, side * 2).rotate(-360 * tilt, Image.Resampling.BILINEAR)
    return square.crop((side // 2, side // 2, side // 2 + side, side // 2 + side))


def _find_direction(place: Point, sun: Point) -> Point:
    """The direction from a place to the sun, of length 1."""
    across, down = sun[0] - place[0], sun[1] - place[1]
    length = math.sqrt(across * across + down * down) or 1.0
    return across / length, down / length
