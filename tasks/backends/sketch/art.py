"""A placeholder generator: deterministic images that do not understand their prompt.

A few known words of the prompt choose the scene, the light and the finish; its digest and the seed decide
the rest. The same arguments give the same pixels. It needs neither network nor fonts nor files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from PIL import Image

from tasks.backends.sketch.canvas import Canvas, Dice
from tasks.backends.sketch.city import draw_city
from tasks.backends.sketch.desert import draw_desert
from tasks.backends.sketch.finish import FINISHES
from tasks.backends.sketch.forms import draw_flowers, draw_ribbons, draw_tiles
from tasks.backends.sketch.palette import PALETTES
from tasks.backends.sketch.planets import draw_planets
from tasks.backends.sketch.sea import draw_sea
from tasks.backends.sketch.woods import draw_forest, draw_mountains
from tasks.backends.sketch.words import read_brief

SCENES: Mapping[str, Callable[[Canvas], None]] = {
    "mountains": draw_mountains,
    "sea": draw_sea,
    "desert": draw_desert,
    "forest": draw_forest,
    "city": draw_city,
    "planets": draw_planets,
    "flowers": draw_flowers,
    "ribbons": draw_ribbons,
    "tiles": draw_tiles,
}

MAX_DETAIL = 6
MIN_DRAWN_SIDE_PX = 96
MAX_DRAWN_AREA_PX = 2048 * 2048
"""Smaller and larger images are drawn within these and scaled: outlines stay clear, time and memory bounded."""


def draw(
    prompt: str, *, seed: int, width: int, height: int, steps: int = 4, negative_prompt: str | None = None
) -> Image.Image:
    """An RGB image of exactly `width` x `height` px, decided by the arguments alone.

    Another seed gives another image of the same kind.

    Args:
        prompt: Known words choose scene, light and finish, the rest only stirs the dice.
        seed: Any whole number.
        width: In px, of the result; every size works.
        height: In px, of the result.
        steps: How much detail: layers, towers, blossoms. From 8 on nothing more is added.
        negative_prompt: Known words in it are not followed where the prompt has them.
    """
    brief = read_brief(prompt, negative_prompt=negative_prompt)
    dice = Dice(f"{prompt}\n{negative_prompt}\n{seed}")
    scale = _choose_drawing_scale(width, height)
    canvas = Canvas(
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        palette=PALETTES[dice.pick(brief.palettes)],
        dice=dice,
        detail=max(0, min(MAX_DETAIL, steps - 2)),
    )
    SCENES[brief.scene](canvas)
    image = canvas.image
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return FINISHES[brief.finish](image, canvas.palette)


def _choose_drawing_scale(width: int, height: int) -> float:
    """Factor by which an image is drawn larger than asked for."""
    if width * height > MAX_DRAWN_AREA_PX:
        return math.sqrt(MAX_DRAWN_AREA_PX / (width * height))
    return max(1.0, MIN_DRAWN_SIDE_PX / max(width, height))
