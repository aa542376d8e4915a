"""Pixels to bytes, and what each format is called in file names and in HTTP.

Takes a Pillow image, gives the bytes of one file. Knows nothing of prompts, jobs or folders.
"""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from tasks.core.errors import Rejected

EXTENSIONS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "gif": ".gif", "avif": ".avif"}
"""File name extension of every format that can be stored; `encode` writes the first three."""

MAX_SIDE_PX = {"jpeg": 65_500, "webp": 16_383}
"""Longest side of an image. JPEG: `JPEG_MAX_DIMENSION` of libjpeg's jmorecfg.h; WebP: 14 bits, RFC 9649."""

# 1024x1024 px, Pillow 13, one core, 2026-11. A smooth drawing: level 6 111 ms and 333 KB, 4 55 ms and 386 KB, 2 41 ms and
# 452 KB. A grainy one: 6 170 ms and 2,063 KB, 2 129 ms and 2,237 KB. A quick pipeline on a large GPU makes one in 60 ms, so
# two cores keep up with it at level 2 and not at 6: the device would wait for files.
PNG_COMPRESS_LEVEL = 2


def encode(image: Image.Image, *, format: str, quality: int) -> bytes:  # noqa: A002  what every record calls it
    """The bytes of `image` as a `png`, `jpeg` or `webp` file.

    Args:
        image: The drawing. JPEG has no transparency: it goes onto white.
        format: `png`, `jpeg` or `webp`.
        quality: 1..100 for jpeg and webp; png is lossless and ignores it.

    Raises:
        Rejected: The format does not hold an image of this size. Retrying will not help.
    """
    # Before the work: the encoders fail late, and libjpeg with a message that names no limit.
    _check_size(image, format)
    file = BytesIO()
    match format:
        case "png":
            image.save(file, format="PNG", compress_level=PNG_COMPRESS_LEVEL)
        case "jpeg":
            # PNG and WebP keep the colour profile by themselves; without it other colours are shown.
            profile = image.info.get("icc_profile")
            _flatten(image).save(file, format="JPEG", quality=quality, icc_profile=profile)
        case "webp":
            image.save(file, format="WEBP", quality=quality)
        case _:
            raise ValueError(f"no encoder for the format {format!r}")
    return file.getvalue()


def _check_size(image: Image.Image, format: str) -> None:  # noqa: A002  as above
    limit = MAX_SIDE_PX.get(format)
    if limit is not None and max(image.size) > limit:
        raise Rejected(
            f"{image.width}x{image.height} is too large for {format} (at most {limit} px a side): ask for less, or for png"
        )


def _flatten(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")  # JPEG has neither palettes nor 16 bits
