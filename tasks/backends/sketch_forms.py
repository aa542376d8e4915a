"""The scenes of a sketch that are made rather than grown: a city at the water, planets, flowers, ribbons, tiles."""

from __future__ import annotations

import math

from PIL import Image, ImageFilter

from tasks.backends.sketch_canvas import Canvas, Dice, Gradient, Point, Shape, ellipse, ground, swell
from tasks.backends.sketch_palette import Colour, mix
from tasks.backends.sketch_sky import draw_sky, draw_stars


def draw_city(canvas: Canvas) -> None:
    """Towers with lit windows, and their reflection in the water before them."""
    dice, palette, height = canvas.dice, canvas.palette, canvas.height
    quay = dice.between(0.7, 0.8)
    draw_sky(canvas, horizon=quay)
    layers = min(3 + canvas.detail // 2, 5)
    for layer in range(layers):
        near = (layer + 1) / layers
        colour = mix(palette.haze, palette.deep, 0.25 + 0.7 * near)
        towers = _towers(canvas, quay=height * quay, near=near)
        outline: list[Shape] = [shape for tower in towers for shape in tower.shapes()]
        canvas.fill(outline, Gradient((colour, mix(colour, palette.haze, 0.5 - 0.4 * near))))
        canvas.fill([w for tower in towers for w in tower.windows(dice)], palette.light, opacity=0.2 + 0.65 * near**2)
    _mirror(canvas, quay=round(height * quay))


def draw_planets(canvas: Canvas) -> None:
    """Worlds on their orbits, one of them near."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    dusk = mix(palette.deep, palette.sky[0], 0.6)
    canvas.wash(Gradient((mix(palette.deep, (0, 0, 0), 0.3), dusk, mix(dusk, palette.sky[1], 0.45))))
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
    _orbits(canvas, sun=sun, tilt=tilt, flat=flat)
    place = (canvas.width * dice.between(0.58, 0.78), canvas.height * dice.between(0.58, 0.76))
    _world(canvas, place, unit * dice.between(0.2, 0.3), sun=sun, ringed=dice.chance(0.7))


def draw_flowers(canvas: Canvas) -> None:
    """A bunch of rosettes on thin stems against a soft light."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    canvas.wash(Gradient((palette.sky[2], palette.haze, mix(palette.haze, palette.sky[1], 0.5))))
    for _ in range(7):
        place = (canvas.width * dice.between(0, 1), canvas.height * dice.between(0, 1))
        canvas.glow(place, unit * dice.between(0.2, 0.5), dice.pick((palette.light, *palette.accents)), opacity=0.28)
    count = 4 + canvas.detail
    places = _spread(canvas, count)
    root = (canvas.width * dice.between(0.42, 0.58), canvas.height * 1.12)
    for place, _ in places:
        _stem(canvas, root, place)
    for place, size in places:
        _rosette(canvas, place, size)


def draw_ribbons(canvas: Canvas) -> None:
    """Sheets of cut paper, one over the other, each with its shadow."""
    dice, palette = canvas.dice, canvas.palette
    colours = [*palette.sky, *palette.accents] if dice.chance(0.5) else [*palette.accents, *palette.sky[1:]]
    canvas.wash(Gradient((mix(palette.light, palette.haze, 0.4), palette.haze)))
    radius = canvas.unit * dice.between(0.12, 0.2)
    place = (canvas.width * dice.between(0.25, 0.75), canvas.height * dice.between(0.12, 0.26))
    canvas.fill(
        [ellipse(place, radius, radius)], Gradient((palette.accents[0], mix(palette.accents[0], palette.light, 0.45)))
    )
    layers, slope = 6 + canvas.detail, dice.between(-0.22, 0.22)
    for layer in range(layers):
        down = (layer + 0.6) / (layers + 0.2)
        line = swell(dice, max(2, round(2.2 * canvas.width / canvas.unit)))
        tilted = [height + slope * 6 * (index / len(line) - 0.5) for index, height in enumerate(line)]
        level = canvas.height * (0.16 + 0.84 * down)
        sheet = ground(tilted, width=canvas.width, level=level, swing=canvas.unit * 0.15, floor=canvas.height)
        colour = colours[layer % len(colours)]
        _shadow(canvas, sheet)
        canvas.fill([sheet], Gradient((mix(colour, palette.light, 0.18), colour, mix(colour, palette.deep, 0.2))))


def draw_tiles(canvas: Canvas) -> None:
    """A wall of tiles: quarter rounds, half rounds, petals, rings."""
    dice, palette = canvas.dice, canvas.palette
    cell = canvas.unit / (3 + min(canvas.detail, 4) // 2 + dice.whole(0, 2))
    across, down = max(1, round(canvas.width / cell)), max(1, round(canvas.height / cell))
    wide, tall = canvas.width / across, canvas.height / down
    colours = dice.mixed([*palette.accents[:4], palette.light, mix(palette.light, palette.haze, 0.5)])
    canvas.wash(Gradient((palette.light, palette.light)))
    painted: dict[Colour, list[Shape]] = {colour: [] for colour in colours}
    upper: dict[Colour, list[Shape]] = {colour: [] for colour in colours}
    for row in range(down):
        for column in range(across):
            back, front = dice.mixed(colours)[:2]
            place = (column * wide, row * tall)
            painted[back].append(
                [place, (place[0] + wide, place[1]), (place[0] + wide, place[1] + tall), (place[0], place[1] + tall)]
            )
            upper[front] += _motif(dice, place, wide, tall)
    for layer in (painted, upper):
        for colour, shapes in layer.items():
            canvas.fill(shapes, colour)


class _Tower:
    """One building, px."""

    def __init__(self, dice: Dice, left: float, width: float, top: float, foot: float) -> None:
        self.left, self.width, self.top, self.foot = left, width, top, foot
        self._roof = dice.pick(("flat", "flat", "step", "spire", "slope"))

    def shapes(self) -> list[Shape]:
        """The outline, with its roof."""
        left, right, top = self.left, self.left + self.width, self.top
        middle, lift = left + self.width / 2, self.width * 0.35
        body: list[Shape] = [_box(left, top, right, self.foot)]
        match self._roof:
            case "step":
                body.append(_box(left + self.width * 0.2, top - lift * 0.6, right - self.width * 0.2, top + 1))
            case "spire":
                body.append([(left, top + 1), (middle, top - lift), (right, top + 1)])
                body.append(_box(middle - self.width * 0.02, top - lift * 2.6, middle + self.width * 0.02, top))
            case "slope":
                body.append([(left, top + 1), (right, top - lift), (right, top + 1)])
        return body

    def windows(self, dice: Dice) -> list[Shape]:
        """The lit ones."""
        columns = max(2, round(self.width / max(4.0, self.width / 5)))
        step = self.width / (columns + 0.5)
        rows = min(40, int((self.foot - self.top) / (step * 1.25)))
        lit: list[Shape] = []
        for row in range(rows):
            for column in range(columns):
                if dice.chance(0.42):
                    x, y = self.left + step * (column + 0.5), self.top + step * (1.25 * row + 0.6)
                    lit.append(_box(x, y, x + step * 0.5, y + step * 0.62))
        return lit


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _towers(canvas: Canvas, *, quay: float, near: float) -> list[_Tower]:
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
    canvas.fill([_box(0, quay - canvas.unit * 0.004, canvas.width, quay + canvas.unit * 0.004)], palette.deep)


def _orbits(canvas: Canvas, *, sun: Point, tilt: float, flat: float) -> None:
    """The sun, thin orbits around it, and a small world on each."""
    dice, palette, unit = canvas.dice, canvas.palette, canvas.unit
    for index in range(4 + canvas.detail // 2):
        reach = unit * (0.24 + 0.17 * index)
        line = unit * 0.0011
        ring = (
            ellipse(sun, reach + line, (reach + line) * flat, turn=tilt)
            + ellipse(sun, reach - line, (reach - line) * flat, turn=tilt)[::-1]
        )
        canvas.fill([ring], palette.light, opacity=0.3)
        x, y = ellipse(sun, reach, reach * flat, turn=tilt, start=dice.between(0, 1))[0]
        _ball(canvas, (x, y), unit * dice.between(0.012, 0.03), dice.pick(palette.accents), sun)
    canvas.glow(sun, unit * 0.5, palette.light, opacity=0.6)
    canvas.glow(sun, unit * 0.16, palette.light, opacity=0.9)
    canvas.fill([ellipse(sun, unit * 0.055, unit * 0.055)], palette.light)


def _ball(canvas: Canvas, place: Point, radius: float, colour: Colour, sun: Point) -> None:
    away = math.hypot(place[0] - sun[0], place[1] - sun[1]) or 1.0
    lit = (place[0] + (sun[0] - place[0]) / away * radius * 0.35, place[1] + (sun[1] - place[1]) / away * radius * 0.35)
    canvas.fill([ellipse(place, radius, radius)], mix(colour, canvas.palette.deep, 0.55))
    canvas.fill([ellipse(lit, radius * 0.68, radius * 0.68)], mix(colour, canvas.palette.light, 0.25), opacity=0.85)


def _world(canvas: Canvas, place: Point, radius: float, *, sun: Point, ringed: bool) -> None:
    """A near planet: bands, night on the side away from the sun, and perhaps a ring around it."""
    dice, palette = canvas.dice, canvas.palette
    tilt = dice.between(-0.08, 0.08)
    ring = (
        [(place, radius * reach, opacity) for reach, opacity in ((1.75, 0.35), (1.55, 0.6), (1.42, 0.4))]
        if ringed
        else []
    )
    for half in (0.5, 0.0):
        if not half:
            _globe(canvas, place, radius, sun=sun, tilt=tilt)
        for centre, reach, opacity in ring:
            outer = ellipse(centre, reach, reach * 0.24, turn=tilt, start=half, end=half + 0.5)
            inner = ellipse(centre, reach * 0.91, reach * 0.91 * 0.24, turn=tilt, start=half, end=half + 0.5)
            canvas.fill([outer + inner[::-1]], mix(palette.light, palette.accents[1], 0.4), opacity=opacity)


def _globe(canvas: Canvas, place: Point, radius: float, *, sun: Point, tilt: float) -> None:
    dice, palette, side = canvas.dice, canvas.palette, max(4, round(radius * 2))
    base = dice.mixed(palette.accents)[:3]
    stops = tuple(
        mix(dice.pick(base), dice.pick((palette.light, palette.deep)), dice.between(0, 0.35)) for _ in range(13)
    )
    bands = Gradient(stops).image(side * 2, side * 2).rotate(-360 * tilt, Image.Resampling.BILINEAR)
    bands = bands.crop((side // 2, side // 2, side // 2 + side, side // 2 + side))
    away = math.hypot(place[0] - sun[0], place[1] - sun[1]) or 1.0
    shift = (round((sun[0] - place[0]) / away * side * 0.34), round((sun[1] - place[1]) / away * side * 0.34))
    night = Image.radial_gradient("L").resize((side * 2, side * 2), Image.Resampling.BILINEAR)
    dark = night.crop(
        (side // 2 - shift[0], side // 2 - shift[1], side // 2 - shift[0] + side, side // 2 - shift[1] + side)
    )
    dark = dark.point([max(0, min(235, round((level - 62) * 2.6))) for level in range(256)])
    bands.paste(mix(palette.deep, (0, 0, 0), 0.4), mask=dark)
    disc = Image.new("L", (side * 2, side * 2))
    canvas.glow(place, radius * 1.35, palette.light, opacity=0.35)
    _stamp(canvas, bands, place, disc)


def _stamp(canvas: Canvas, picture: Image.Image, place: Point, disc: Image.Image) -> None:
    """Lay a square picture down as a round one."""
    from PIL import ImageDraw

    ImageDraw.Draw(disc).ellipse((1, 1, disc.width - 2, disc.height - 2), fill=255)
    side = picture.width
    left, top = round(place[0] - side / 2), round(place[1] - side / 2)
    canvas.image.paste(picture, (left, top), disc.reduce(2))


def _spread(canvas: Canvas, count: int) -> list[tuple[Point, float]]:
    """Places for blossoms that leave each other room, with their radii, the far (small) ones first."""
    dice, unit = canvas.dice, canvas.unit
    places: list[tuple[Point, float]] = []
    for index in range(count):
        size = unit * (0.24 if index == 0 else dice.between(0.08, 0.17))
        best, room = (0.0, 0.0), -1e9
        for _ in range(14):
            spot = (canvas.width * dice.between(0.12, 0.88), canvas.height * dice.between(0.12, 0.72))
            free = min((math.hypot(spot[0] - x, spot[1] - y) - r - size for (x, y), r in places), default=0.0)
            if free > room:
                best, room = spot, free
        places.append((best, size))
    return sorted(places, key=lambda place: place[1])


def _stem(canvas: Canvas, root: Point, place: Point) -> None:
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
            _petal((x, y), canvas.unit * dice.between(0.08, 0.16), 0.26, dice.pick((-0.06, -0.13, -0.37, -0.44)))
        )
    canvas.fill([*leaves, left + right], green, opacity=0.92)


def _petal(foot: Point, length: float, width: float, turn: float) -> list[Point]:
    """A leaf-shaped outline from its foot outwards; `width` is a share of its length."""
    cos, sin = math.cos(math.tau * turn), math.sin(math.tau * turn)
    edge = []
    for step in range(9):
        t = step / 8
        edge.append((t * length, width * length * math.sin(math.pi * t**0.8) * (0.45 + 0.55 * t)))
    outline = edge + [(x, -y) for x, y in reversed(edge)]
    return [(foot[0] + x * cos - y * sin, foot[1] + x * sin + y * cos) for x, y in outline]


def _rosette(canvas: Canvas, place: Point, size: float) -> None:
    """A blossom: rings of petals that grow lighter inwards, and a head of seeds."""
    dice, palette = canvas.dice, canvas.palette
    outer, inner = dice.pick(palette.accents[:3]), dice.pick((palette.light, *palette.accents[1:3]))
    petals, rings, width = dice.whole(8, 15), dice.whole(3, 5), dice.between(0.2, 0.34)
    canvas.glow((place[0], place[1] + size * 0.15), size * 1.5, palette.deep, opacity=0.3)
    for ring in range(rings):
        share = ring / rings
        colour, turn = mix(outer, inner, share * 0.8), dice.between(0, 1)
        reach = size * (1 - 0.72 * share)
        for half, paint in ((0, mix(colour, palette.deep, 0.2)), (1, colour)):
            canvas.fill(
                [_petal(place, reach, width, turn + (2 * k + half) / (2 * petals)) for k in range(petals)], paint
            )
    heart, seed = mix(palette.accents[3], palette.deep, 0.45), mix(palette.accents[1], palette.light, 0.4)
    canvas.fill([ellipse(place, size * 0.17, size * 0.17)], heart)
    seeds: list[Shape] = []
    for k in range(1, 34):
        angle, away = 2.399963 * k, size * 0.15 * math.sqrt(k / 34)
        seeds.append(
            ellipse((place[0] + away * math.cos(angle), place[1] + away * math.sin(angle)), size * 0.013, size * 0.013)
        )
    canvas.fill(seeds, seed)


def _shadow(canvas: Canvas, sheet: list[Point]) -> None:
    """Darken what lies under a sheet of paper, along its upper edge."""
    from PIL import ImageDraw

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


def _motif(dice: Dice, place: Point, wide: float, tall: float) -> list[Shape]:
    """One tile's figure, turned at random."""
    left, top = place
    corner = dice.whole(0, 3)
    x, y = left + wide * (corner in (1, 2)), top + tall * (corner in (2, 3))
    opposite = (left + wide * (corner not in (1, 2)), top + tall * (corner not in (2, 3)))
    start = corner / 4
    middle = (left + wide / 2, top + tall / 2)
    match dice.pick(("quarter", "quarter", "petal", "half", "round", "ring", "corner", "plain")):
        case "quarter":
            return [[(x, y), *ellipse((x, y), wide, tall, start=start, end=start + 0.25)]]
        case "petal":
            back = (start + 0.5) % 1
            return [
                ellipse((x, y), wide, tall, start=start, end=start + 0.25)[:0]
                or _leaf((x, y), opposite, wide, tall, start, back)
            ]
        case "half":
            foot = ((left + left + wide) / 2, top + tall * (corner % 2))
            return [
                ellipse(foot, wide / 2, tall / 2, start=0.5 * (1 - corner % 2) + 0.5, end=0.5 * (1 - corner % 2) + 1.0)
            ]
        case "round":
            return [ellipse(middle, wide * 0.32, tall * 0.32)]
        case "ring":
            return [ellipse(middle, wide * 0.42, tall * 0.42) + ellipse(middle, wide * 0.2, tall * 0.2)[::-1]]
        case "corner":
            return [[(x, y), (opposite[0], y), (x, opposite[1])]]
    return []


def _leaf(near: Point, far: Point, wide: float, tall: float, start: float, back: float) -> list[Point]:
    """What two quarter rounds from opposite corners have in common."""
    return ellipse(near, wide, tall, start=start, end=start + 0.25)
