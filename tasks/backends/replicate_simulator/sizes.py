"""The pixels of an image by its input, by the rules of the FLUX models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Width and height at one megapixel (replicate/cog-flux, predict.py, read 2026-11).
SIDES_PX = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
CUSTOM = "custom"
GRID_PX = 16
"""Sides are multiples of it."""


def get_size(values: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height in pixels that a valid input asks for."""
    ratio = values.get("aspect_ratio", "1:1")
    if ratio == CUSTOM:
        width, height = (values.get(side, 1024) for side in ("width", "height"))
    else:
        factor = math.sqrt(get_megapixels(values))
        width, height = (_round_to_grid(side * factor) for side in SIDES_PX[ratio])
    return width, height


def get_megapixels(values: Mapping[str, Any]) -> float:
    """Megapixels by the input's `megapixels` ("1", "0.25") or `resolution` ("2 MP"), else one."""
    text = str(values.get("megapixels") or values.get("resolution") or "1")
    return float(text.partition(" ")[0])


def _round_to_grid(side_px: float) -> int:
    return max(GRID_PX, round(side_px / GRID_PX) * GRID_PX)
