"""Images like a model's, made once: drawings with grain, whose files weigh what those of a real model do.

At 1024x1024 they are WebP and JPEG of some 200 KB and PNG of 1.4 MB, as FLUX.1 [schnell] sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from tasks.backends.replicate_simulator.images import FORMATS
from tasks.backends.sketch.art import draw
from tasks.core.atomic_files import write_atomically

SAVED: Mapping[str, Mapping[str, Any]] = {"webp": {"quality": 80}, "png": {"compress_level": 6}, "jpg": {"quality": 80}}
PROMPTS = ("a harbour at night, rain", "a forest in the morning", "a desert with dunes", "a city by the sea")
GRAIN = 7.0
"""Standard deviation of the brightness: smooth drawings would be a tenth as large as a model's images."""
MIDDLE_GREY = 128
SEED = 7


def make_pictures(side_px: int, scratch: Path) -> Path:
    """The folder with a file of every prompt in every format; what is there already stays."""
    folder = scratch / "pictures" / str(side_px)
    for number, prompt in enumerate(PROMPTS):
        wanted = {kind: folder / f"{number}.{kind}" for kind in SAVED}
        if all(path.exists() for path in wanted.values()):
            continue
        image = _draw_with_grain(prompt, side_px)
        for kind, path in wanted.items():
            with BytesIO() as file:
                image.save(file, FORMATS[kind], **SAVED[kind])
                # A measurement that was stopped here would leave half a file for all later ones.
                write_atomically(path, file.getvalue())
    return folder


def get_least_bytes(folder: Path, kind: str) -> int:
    """Size of the smallest file of a format: no image that was sent is smaller."""
    return min(path.stat().st_size for path in folder.glob(f"*.{kind}"))


def _draw_with_grain(prompt: str, side_px: int) -> Image.Image:
    drawing = draw(prompt, seed=SEED, width=side_px, height=side_px)
    grain = Image.effect_noise((side_px, side_px), GRAIN)
    return ImageChops.add(drawing, Image.merge("RGB", [grain] * 3), scale=1, offset=-MIDDLE_GREY)
