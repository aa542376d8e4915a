from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from tasks.core.errors import Rejected
from tasks.store.chunks import detect_format
from tasks.store.encode import MAX_SIDE_PX, encode


def gradient(mode: str) -> Image.Image:
    """An image of 256x256 px in one of Pillow's modes."""
    return Image.radial_gradient("L").convert(mode)


def reopened(data: bytes) -> Image.Image:
    """The image as Pillow decodes it."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("format_", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "LA"])
def test_every_mode_becomes_every_format(mode: str, format_: str) -> None:
    """Whatever a model returns can be written in the format that the user asked for."""
    data = encode(gradient(mode), format=format_, quality=90)
    assert detect_format(data) == format_
    assert reopened(data).size == (256, 256)


def test_png_keeps_every_pixel() -> None:
    """PNG is lossless, transparency included."""
    image = gradient("RGBA")
    image.putalpha(Image.linear_gradient("L"))
    assert reopened(encode(image, format="png", quality=1)).tobytes() == image.tobytes()


@pytest.mark.parametrize("format_", ["jpeg", "webp"])
def test_quality_decides_the_size(format_: str) -> None:
    """A lower quality gives a smaller file."""
    noise = Image.effect_noise((128, 128), 64).convert("RGB")
    low, high = (len(encode(noise, format=format_, quality=quality)) for quality in (10, 95))
    assert low < high / 2


def test_png_ignores_the_quality() -> None:
    """PNG has no quality: the same bytes come out."""
    image = gradient("RGB")
    assert encode(image, format="png", quality=1) == encode(image, format="png", quality=100)


def test_transparency_goes_onto_white_in_jpeg() -> None:
    """JPEG has no transparency: hidden colours do not come out as they would in black boxes."""
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert reopened(encode(clear, format="jpeg", quality=100)).getpixel((8, 8)) == (255, 255, 255)


@pytest.mark.parametrize("format_", ["jpeg", "webp"])
def test_the_longest_side_is_written_and_one_more_refused(format_: str) -> None:
    """The limits are those of the formats: up to them it works, beyond them a message says what to do."""
    limit = MAX_SIDE_PX[format_]
    assert reopened(encode(Image.new("L", (limit, 1)), format=format_, quality=50)).width == limit
    with pytest.raises(Rejected, match=f"{limit + 1}x1 is too large for {format_}.*ask for less, or for png"):
        encode(Image.new("L", (limit + 1, 1)), format=format_, quality=50)


def test_a_format_without_an_encoder_is_a_mistake() -> None:
    """Formats are checked with the manifest; one that comes through is a bug, and is not written as another."""
    with pytest.raises(ValueError, match="gif"):
        encode(gradient("RGB"), format="gif", quality=50)
