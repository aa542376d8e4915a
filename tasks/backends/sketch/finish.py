"""The surface of a sketch: what is done to the whole image at the end, as film, paper, print or glow would.

Each finish takes an image and its palette and gives an image of the same size. Grain and paper
come from a digest rather than from a generator of noise: they are the same everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from tasks.backends.sketch.palette import Palette, mix

GRAIN_SHARE = 21
"""Of 256 pixels so many get lighter, as many darker. A 512 px PNG: 74 KB without, 119 KB so, 151 KB with even noise."""

Finish = Callable[[Image.Image, Palette], Image.Image]


def apply_film(image: Image.Image, _palette: Palette) -> Image.Image:
    """Darker corners and a trace of grain."""
    return _add_grain(_add_vignette(image, 0.18))


def apply_paper(image: Image.Image, _palette: Palette) -> Image.Image:
    """Paint on rough paper: uneven washes, lifted colour, a white margin with a soft edge."""
    sheet = Image.new("RGB", image.size, (253, 250, 243))
    # Paint lies uneven on paper, so the colours are lifted before the paper shows through.
    washed = Image.blend(image.filter(ImageFilter.MedianFilter(3)), sheet, 0.2)
    washed = ImageChops.multiply(washed, _build_clouds(image.size, low=222, cells=9).convert("RGB"))
    sheet.paste(washed, mask=_build_margin(image.size))
    return ImageChops.multiply(sheet, _build_clouds(image.size, low=242, cells=120).convert("RGB"))


def apply_brush(image: Image.Image, palette: Palette) -> Image.Image:
    """Ink on paper, at full contrast."""
    return apply_paper(ImageOps.autocontrast(image, cutoff=1, preserve_tone=True), palette)


def apply_bloom(image: Image.Image, _palette: Palette) -> Image.Image:
    """Light that bleeds out of everything bright."""
    small = image.resize(_get_share(image.size, 8), Image.Resampling.BOX).point(
        [max(0, level - 70) for level in range(256)] * 3
    )
    halo = small.filter(ImageFilter.GaussianBlur(max(small.size) / 40)).resize(image.size, Image.Resampling.BICUBIC)
    return _add_grain(_add_vignette(ImageChops.screen(image, halo), 0.3))


def apply_risograph(image: Image.Image, palette: Palette) -> Image.Image:
    """A poster from a drum printer: few tones, and round dots of the dark ink in the shadows."""
    cell = max(4, round(min(image.size) / 96))
    dot = Image.radial_gradient("L").resize((cell, cell), Image.Resampling.BILINEAR)
    row = Image.new("L", (2 * cell, 2 * cell))
    for place in ((0, 0), (cell, cell)):
        row.paste(dot, place)
    for place in ((cell, 0), (0, cell)):
        row.paste(ImageChops.invert(dot), place)
    screen = _repeat_tile(row, image.size)
    tone = ImageChops.add(image.convert("L"), screen, scale=2)
    dots = tone.point([max(0, min(255, (108 - level) * 14)) for level in range(256)])
    flat = ImageOps.posterize(image, 4)
    printed = Image.blend(image, flat, 0.5)
    printed.paste(
        mix(palette.deep, palette.accents[0], 0.25), mask=dots.point([level * 4 // 10 for level in range(256)])
    )
    return ImageChops.multiply(printed, _build_clouds(image.size, low=245, cells=96).convert("RGB"))


def apply_drafting(image: Image.Image, palette: Palette) -> Image.Image:
    """A drawing office's copy: outlines in white on blue, over a fine grid."""
    width, height = image.size
    # Blue of the paper, with a trace of the palette, so that two drawings differ.
    blue = mix((16, 58, 116), palette.sky[0], 0.15)
    lines = image.convert("L").filter(ImageFilter.CONTOUR)
    lines = lines.point([min(255, (255 - level) * 5) for level in range(256)])
    tone = image.convert("L").point([level // 5 for level in range(256)])
    sheet = ImageOps.colorize(
        tone.point([level * 2 for level in range(256)]), mix(blue, (0, 0, 0), 0.2), (90, 140, 200)
    )
    pen, step = ImageDraw.Draw(sheet), max(8, round(min(width, height) / 24))
    for x in range(step // 2, width, step):
        pen.line([(x, 0), (x, height)], fill=mix(blue, (255, 255, 255), 0.16))
    for y in range(step // 2, height, step):
        pen.line([(0, y), (width, y)], fill=mix(blue, (255, 255, 255), 0.16))
    sheet.paste((232, 243, 255), mask=lines)
    return _add_vignette(sheet, 0.18)


def apply_pixels(image: Image.Image, _palette: Palette) -> Image.Image:
    """Large square pixels in few colours."""
    long = max(image.size)
    small = image.resize(_get_share(image.size, max(2, round(long / 112))), Image.Resampling.BOX)
    few = small.quantize(28, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    return few.resize(image.size, Image.Resampling.NEAREST)


FINISHES: Mapping[str, Finish] = {
    "film": apply_film,
    "paper": apply_paper,
    "brush": apply_brush,
    "bloom": apply_bloom,
    "risograph": apply_risograph,
    "drafting": apply_drafting,
    "pixels": apply_pixels,
}


def _get_share(size: tuple[int, int], part: int) -> tuple[int, int]:
    return max(1, size[0] // part), max(1, size[1] // part)


@cache
def _build_noise(side: int) -> Image.Image:
    """Even noise, 0..255, that is the same everywhere."""
    return Image.frombytes("L", (side, side), hashlib.shake_256(b"imagen sketch grain").digest(side * side))


def _repeat_tile(tile: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The tile, repeated over the whole size."""
    strip = Image.new("L", (size[0], tile.height))
    for x in range(0, size[0], tile.width):
        strip.paste(tile, (x, 0))
    sheet = Image.new("L", size)
    for y in range(0, size[1], tile.height):
        sheet.paste(strip, (0, y))
    return sheet


def _add_grain(image: Image.Image) -> Image.Image:
    """Shift one pixel in six by one level, all three colours alike: enough to hide the steps of a gradient."""
    shifts = [(level >= 256 - GRAIN_SHARE) - (level < GRAIN_SHARE) + 1 for level in range(256)]
    grain = _repeat_tile(_build_noise(64).point(shifts), image.size)
    return ImageChops.add(image, Image.merge("RGB", (grain, grain, grain)), 1, -1)


def _add_vignette(image: Image.Image, strength: float) -> Image.Image:
    shade = Image.radial_gradient("L").point([round(255 * (1 - strength * (d / 255) ** 2.4)) for d in range(256)])
    mask = shade.resize(image.size, Image.Resampling.BILINEAR)
    return ImageChops.multiply(image, Image.merge("RGB", (mask, mask, mask)))


def _build_clouds(size: tuple[int, int], *, low: int, cells: int) -> Image.Image:
    """Soft uneven light between `low` and 255, about `cells` spots along the longer side."""
    across, down = (max(2, round(cells * side / max(size))) for side in size)
    spots = (
        _build_noise(128)
        .crop((0, 0, min(128, across), min(128, down)))
        .point([low + (255 - low) * v // 255 for v in range(256)])
    )
    return spots.resize(size, Image.Resampling.BICUBIC)


def _build_margin(size: tuple[int, int]) -> Image.Image:
    """Mask of the painted area: everything but a margin with an uneven edge."""
    width, height = size
    edge = max(1, round(min(size) * 0.035))
    inside = Image.new("L", size)
    ImageDraw.Draw(inside).rectangle((edge, edge, width - 1 - edge, height - 1 - edge), fill=255)
    soft = inside.reduce(2).filter(ImageFilter.BoxBlur(max(1.0, edge / 4))).resize(size, Image.Resampling.BILINEAR)
    ragged = ImageChops.add(soft, _build_clouds(size, low=150, cells=40), scale=2)
    return ragged.point([max(0, min(255, (level - 168) * 14)) for level in range(256)])
