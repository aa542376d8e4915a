"""The scenes of a sketch that are made rather than grown wild: flowers, cut paper, tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

from tasks.backends.sketch.canvas import Canvas, Dice, Gradient, Point, Shape, build_swell, trace_ellipse, trace_ground
from tasks.backends.sketch.palette import Colour, mix


@dataclass(frozen=True, slots=True)
class _Blossom:
    """Shape of a kind of flower."""

    petals: int
    """In each half of a ring."""
    rings: int
    width: float
    """Of a petal, as a share of its length."""
    blunt: float
    """Roundness of its tip, 0..1."""
    heart: float
    """Radius of the seed head, as a share of the whole."""


BLOSSOMS = (
    _Blossom(petals=4, rings=1, width=0.34, blunt=1.0, heart=0.2),
    _Blossom(petals=5, rings=2, width=0.27, blunt=0.8, heart=0.14),
    _Blossom(petals=8, rings=3, width=0.19, blunt=0.3, heart=0.14),
    _Blossom(petals=11, rings=4, width=0.15, blunt=0.1, heart=0.12),
    _Blossom(petals=12, rings=1, width=0.11, blunt=0.9, heart=0.26),
    _Blossom(petals=15, rings=5, width=0.12, blunt=0.0, heart=0.1),
)
SEEDS_FROM_PX = 6.0
"""Radius of a seed head below which nobody could see its seeds."""

# The angle that a sunflower's seeds stand at: nothing lines up.
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def draw_flowers(canvas: Canvas) -> None:
    """A bunch of rosettes on thin stems against a soft light."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    canvas.wash(Gradient((palette.sky[2], palette.haze, mix(palette.haze, palette.sky[1], 0.5))))
    for _ in range(7):
        place = (canvas.width * dice.between(0, 1), canvas.height * dice.between(0, 1))
        canvas.glow(place, unit * dice.between(0.2, 0.5), dice.pick((palette.light, *palette.accents)), opacity=0.28)
    count = 4 + canvas.detail
    places = _spread_blossoms(canvas, count)
    root = (canvas.width * dice.between(0.42, 0.58), canvas.height * 1.12)
    for place, _ in places:
        _draw_stem(canvas, root, place)
    for place, size in places:
        _draw_rosette(canvas, place, size)


def draw_ribbons(canvas: Canvas) -> None:
    """Sheets of cut paper, one over the other, each with its shadow."""
    dice, palette = canvas.dice, canvas.palette
    colours = [*palette.sky, *palette.accents] if dice.chance(0.5) else [*palette.accents, *palette.sky[1:]]
    canvas.wash(Gradient((mix(palette.light, palette.haze, 0.4), palette.haze)))
    radius = canvas.unit * dice.between(0.12, 0.2)
    place = (canvas.width * dice.between(0.25, 0.75), canvas.height * dice.between(0.12, 0.26))
    canvas.fill(
        [trace_ellipse(place, radius, radius)],
        Gradient((palette.accents[0], mix(palette.accents[0], palette.light, 0.45))),
    )
    layers, slope = 6 + canvas.detail, dice.between(-0.22, 0.22)
    for layer in range(layers):
        down = (layer + 0.6) / (layers + 0.2)
        line = build_swell(dice, canvas.swings(2.2))
        tilted = [height + slope * 6 * (index / len(line) - 0.5) for index, height in enumerate(line)]
        level = canvas.height * (0.16 + 0.84 * down)
        sheet = trace_ground(tilted, width=canvas.width, level=level, swing=canvas.unit * 0.15, floor=canvas.height)
        colour = colours[layer % len(colours)]
        _draw_shadow(canvas, sheet)
        canvas.fill([sheet], Gradient((mix(colour, palette.light, 0.18), colour, mix(colour, palette.deep, 0.2))))


def draw_tiles(canvas: Canvas) -> None:
    """A wall of tiles: quarter rounds, half rounds, petals, rings."""
    dice, palette = canvas.dice, canvas.palette
    cell = canvas.unit / (3 + min(canvas.detail, 4) // 2 + dice.whole(0, 2))
    across, down = max(1, round(canvas.width / cell)), max(1, round(canvas.height / cell))
    colours = dice.mixed([*palette.accents[:4], palette.light])
    canvas.wash(Gradient((palette.light, palette.light)))
    figures: dict[Colour, list[Shape]] = {colour: [] for colour in colours}
    for row in range(down):
        for column in range(across):
            back, front = dice.mixed(colours)[:2]
            left, right = canvas.width * column // across, canvas.width * (column + 1) // across
            top, bottom = canvas.height * row // down, canvas.height * (row + 1) // down
            canvas.image.paste(back, (left, top, right, bottom))
            figures[front] += _draw_motif(dice, (left, top), right - left, bottom - top)
    for colour, shapes in figures.items():
        canvas.fill(shapes, colour)


def _spread_blossoms(canvas: Canvas, count: int) -> list[tuple[Point, float]]:
    """Places for blossoms that leave each other room, with their radii, the far (small) ones first."""
    dice, unit = canvas.dice, canvas.unit
    places: list[tuple[Point, float]] = []
    for index in range(count):
        size = unit * (0.24 if index == 0 else dice.between(0.08, 0.17))
        # Fourteen throws: a better place than the first one, without measuring the whole field.
        best, room = (0.0, 0.0), -1e9
        for _ in range(14):
            spot = (
                _choose_place(dice, canvas.width, size * 0.9),
                _choose_place(dice, canvas.height * 0.78, size * 1.08),
            )
            free = min((math.hypot(spot[0] - x, spot[1] - y) - r - size for (x, y), r in places), default=0.0)
            if free > room:
                best, room = spot, free
        places.append((best, size))
    return sorted(places, key=lambda place: place[1])


def _choose_place(dice: Dice, length: float, margin: float) -> float:
    """A place along `length` px that keeps the margin at both ends, or the middle where there is no room."""
    return dice.between(margin, length - margin) if length > 2 * margin else length / 2


def _draw_stem(canvas: Canvas, root: Point, place: Point) -> None:
    """A bent stem from the root to the blossom, with a leaf or two."""
    dice, palette, thick = canvas.dice, canvas.palette, max(0.6, canvas.unit * 0.005)
    green = mix(palette.deep, palette.accents[3], 0.35)
    bend = (place[0] + (root[0] - place[0]) * 0.15, place[1] + (root[1] - place[1]) * 0.6)
    curve = []
    for step in range(25):
        t = step / 24
        ease = ((1 - t) ** 2, 2 * t * (1 - t), t * t)
        curve.append(tuple(ease[0] * root[axis] + ease[1] * bend[axis] + ease[2] * place[axis] for axis in (0, 1)))
    left, right = [(x - thick, y) for x, y in curve], [(x + thick, y) for x, y in reversed(curve)]
    leaves: list[Shape] = []
    for _ in range(dice.whole(1, 3)):
        x, y = curve[dice.whole(8, 17)]
        leaves.append(
            _trace_petal((x, y), canvas.unit * dice.between(0.08, 0.16), 0.2, dice.pick((-0.06, -0.13, -0.37, -0.44)))
        )
    canvas.fill([*leaves, left + right], green, opacity=0.92)


def _trace_petal(foot: Point, length: float, width: float, turn: float, *, blunt: float = 0.0) -> list[Point]:
    """A leaf-shaped outline from its foot outwards, `width` as a share of its length; `blunt` (0..1) rounds its tip."""
    cos, sin = math.cos(math.tau * turn), math.sin(math.tau * turn)
    edge = []
    steps = max(4, min(24, round(length / 3)))
    for step in range(steps + 1):
        t = step / steps
        leaf, spoon = math.sin(math.pi * t), math.sqrt(max(0.0, 1 - (1.8 * t - 0.8) ** 2)) * min(1.0, t * 1.6)
        edge.append((t * length, width * length * (leaf + (spoon - leaf) * blunt)))
    outline = edge + [(x, -y) for x, y in reversed(edge)]
    return [(foot[0] + x * cos - y * sin, foot[1] + x * sin + y * cos) for x, y in outline]


def _draw_rosette(canvas: Canvas, place: Point, size: float) -> None:
    """A blossom: rings of petals that grow lighter inwards, and a head of seeds."""
    dice, palette = canvas.dice, canvas.palette
    outer, inner = dice.pick(palette.accents[:3]), dice.pick((palette.light, *palette.accents[1:3]))
    kind = dice.pick(BLOSSOMS)
    canvas.glow((place[0], place[1] + size * 0.12), size * 1.25, palette.deep, opacity=0.28)
    turn = dice.between(0, 1)
    for ring in range(kind.rings):
        share = ring / kind.rings
        colour, reach = mix(outer, inner, share * 0.8), size * (1 - 0.72 * share)
        turn += 0.5 / kind.petals + 0.01
        for half, paint in ((0, mix(colour, palette.deep, 0.2)), (1, colour)):
            turns = [turn + (k + half / 2) / kind.petals for k in range(kind.petals)]
            canvas.fill([_trace_petal(place, reach, kind.width, at, blunt=kind.blunt) for at in turns], paint)
    _draw_seeds(canvas, place, size * kind.heart)


def _draw_seeds(canvas: Canvas, place: Point, radius: float) -> None:
    """The dark heart of a blossom, with seeds in the spiral of a sunflower."""
    palette = canvas.palette
    canvas.fill([trace_ellipse(place, radius, radius)], mix(palette.accents[3], palette.deep, 0.45))
    if radius < SEEDS_FROM_PX:
        return
    seeds: list[Shape] = []
    for k in range(1, 34):
        angle, away = GOLDEN_ANGLE * k, radius * 0.9 * math.sqrt(k / 34)
        spot = (place[0] + away * math.cos(angle), place[1] + away * math.sin(angle))
        seeds.append(trace_ellipse(spot, radius * 0.085, radius * 0.085))
    canvas.fill(seeds, mix(palette.accents[1], palette.light, 0.4))


def _draw_shadow(canvas: Canvas, sheet: list[Point]) -> None:
    """Darken what lies under a sheet of paper, along its figures edge."""
    part = max(1, round(canvas.unit / 96))
    small = Image.new("L", (canvas.width // part + 2, canvas.height // part + 2))
    drop = canvas.unit * 0.012
    ImageDraw.Draw(small).polygon([(round(x / part), round((y - drop) / part)) for x, y in sheet], fill=105)
    mask = (
        small.filter(ImageFilter.BoxBlur(2))
        .filter(ImageFilter.BoxBlur(1))
        .resize(canvas.image.size, Image.Resampling.BILINEAR)
    )
    canvas.image.paste(canvas.palette.deep, (0, 0), mask)


def _draw_motif(dice: Dice, place: Point, wide: float, tall: float) -> list[Shape]:
    """One tile's figure, turned at random; a plain tile has none."""
    (left, top), corner = place, dice.whole(0, 3)
    right_side, lower_side = corner in (1, 2), corner in (2, 3)
    near = (left + wide * right_side, top + tall * lower_side)
    far = (left + wide * (not right_side), top + tall * (not lower_side))
    middle = (left + wide / 2, top + tall / 2)
    figure: Shape = ()
    match dice.pick(("quarter", "quarter", "petal", "half", "round", "ring", "corner", "plain")):
        case "quarter":
            figure = [near, *trace_ellipse(near, wide, tall, start=corner / 4, end=corner / 4 + 0.25)]
        case "petal":
            figure = _trace_leaf(near, far)
        case "half":
            start = 0.5 * lower_side
            figure = trace_ellipse((middle[0], near[1]), wide / 2, tall / 2, start=start, end=start + 0.5)
        case "round":
            figure = trace_ellipse(middle, wide * 0.32, tall * 0.32)
        case "ring":
            figure = (
                trace_ellipse(middle, wide * 0.42, tall * 0.42) + trace_ellipse(middle, wide * 0.2, tall * 0.2)[::-1]
            )
        case "corner":
            figure = [near, (far[0], near[1]), (near[0], far[1])]
    return [figure] if figure else []


def _trace_leaf(near: Point, far: Point) -> list[Point]:
    """Trace the area that two quarter circles around opposite corners share."""
    across, down = far[0] - near[0], far[1] - near[1]
    edge = [(math.sin(math.tau * step / 96), 1 - math.cos(math.tau * step / 96)) for step in range(25)]
    there = [(near[0] + across * a, near[1] + down * d) for a, d in edge]
    return there + [(far[0] - across * a, far[1] - down * d) for a, d in edge]
