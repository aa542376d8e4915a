"""The scores that need no weights, on real images."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from tasks.core.errors import BadImage
from tasks.ledger.scores import Value
from tasks.scores.base import Sample, ScoreContext, decode_rgb
from tasks.scores.blank import Blank
from tasks.scores.duplicates import MOST_BITS, count_different_bits, group_near_duplicates
from tasks.scores.phash import compute_phash
from tasks.scores.sharpness import compute_sharpness
from tests.tasks.scores.images import draw_scene, encode


def reopen(data: bytes) -> Image.Image:
    """The image as a score gets it."""
    with decode_rgb(data) as image:
        return image


def measure_blank(data: bytes) -> dict[str, Value]:
    """The results of `blank` for a file."""
    [found] = Blank(ScoreContext(None)).measure([Sample(Path(), data, {})])
    return dict(found)


def test_phash_is_that_of_imagehash() -> None:
    """A drawing has the hash that imagehash 4.3.2 computes for it."""
    image = Image.linear_gradient("L").rotate(30).convert("RGB")
    assert f"{compute_phash(image):016x}" == "813d53bc5ba06b95"


@pytest.mark.parametrize("number", range(5))
def test_another_format_and_size_is_a_near_duplicate(number: int) -> None:
    """JPEG and WebP of low quality and half the size stay within the distance; another scene does not."""
    scene = draw_scene(number)
    original = compute_phash(scene)
    for again in (
        reopen(encode(scene, "JPEG", quality=30)),
        reopen(encode(scene, "WEBP", quality=30)),
        scene.resize((64, 64)),
    ):
        assert count_different_bits(original, compute_phash(again)) <= MOST_BITS
    assert count_different_bits(original, compute_phash(draw_scene(number + 100))) > 2 * MOST_BITS


@pytest.mark.parametrize("color", ["black", "white", "#123456"])
def test_hashes_of_even_colours_are_no_noise(color: str) -> None:
    """Rounding of the transform does not reach the bits: an even image of any size has one hash."""
    assert len({compute_phash(Image.new("RGB", (side, side), color)) for side in (32, 64, 100)}) == 1


@pytest.mark.parametrize(("color", "name"), [("black", "#000000"), ("white", "#ffffff"), ("#336699", "#336699")])
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_even_images_are_blank(color: str, name: str, format_: str) -> None:
    """Black, white and any one colour, also through lossy formats, with a dot in a corner."""
    image = Image.new("RGB", (128, 128), color)
    image.paste("gray", (3, 3, 6, 6))
    found = measure_blank(encode(image, format_))
    assert found["blank"] is True
    color_found = str(found["blank_color"])
    assert all(abs(int(name[at : at + 2], 16) - int(color_found[at : at + 2], 16)) <= 4 for at in (1, 3, 5))


def test_images_with_something_on_them_are_not_blank() -> None:
    """A scene, noise, and a sign on a white ground."""
    sign = Image.new("RGB", (128, 128), "white")
    sign.paste("black", (40, 40, 60, 60))
    for image in (draw_scene(1), Image.effect_noise((128, 128), 90), sign):
        found = measure_blank(encode(image))
        assert found["blank"] is False
        assert "blank_color" not in found
    assert measure_blank(encode(sign))["blank_share"] == pytest.approx(1 - 400 / 128**2, abs=1e-4)


def test_transparent_images_are_seen_over_white() -> None:
    """Colours below full transparency do not count; viewers show white."""
    assert measure_blank(encode(Image.new("RGBA", (64, 64), (0, 0, 0, 0))))["blank_color"] == "#ffffff"


def test_sixteen_bits_are_scaled_not_cut() -> None:
    """A grey ramp of 16 bits is no white image."""
    ramp = Image.new("I;16", (256, 64))
    ramp.putdata([column * 257 for _ in range(64) for column in range(256)])
    image = reopen(encode(ramp))
    assert [image.getpixel((column, 5)) for column in (0, 100, 255)] == [(value,) * 3 for value in (0, 100, 255)]


def test_a_turned_photograph_looks_as_viewers_show_it() -> None:
    """An Exif orientation is applied before anything is measured."""
    scene, exif = draw_scene(3), Image.Exif()
    exif[0x0112] = 6
    turned = reopen(encode(scene.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif))
    assert count_different_bits(compute_phash(scene), compute_phash(turned)) <= MOST_BITS


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    """The sum over every inner pixel, also where values are far outside of 8 bits."""
    image = Image.frombytes("L", (40, 30), random.Random(5).randbytes(1200)).point(lambda value: value // 128 * 255)
    pixels = [[int(image.getpixel((x, y)) or 0) for x in range(40)] for y in range(30)]  # type: ignore[arg-type]  # one channel
    values = [
        pixels[y - 1][x] + pixels[y + 1][x] + pixels[y][x - 1] + pixels[y][x + 1] - 4 * pixels[y][x]
        for y in range(1, 29)
        for x in range(1, 39)
    ]
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    assert min(values) < -900
    assert max(values) > 900
    assert compute_sharpness(image.convert("RGB")) == pytest.approx(variance)


def test_blurred_images_are_less_sharp() -> None:
    """Each blur lowers the value, to nothing for an even image or one of a pixel."""
    noise = Image.effect_noise((128, 128), 90).convert("RGB")
    values = [compute_sharpness(noise.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4)]
    assert all(one > 2 * other for one, other in pairwise(values))
    assert compute_sharpness(Image.new("RGB", (128, 128), "red")) == 0
    assert compute_sharpness(Image.new("RGB", (1, 1), "red")) == 0


def test_damaged_bytes_are_a_bad_image() -> None:
    """A cut file, no file and a file of another kind are told as such."""
    whole = encode(draw_scene(1))
    for data in (whole[:-200], b"", b"<html>"):
        with pytest.raises(BadImage):
            reopen(data)


def test_grouping_finds_what_comparing_all_with_all_finds() -> None:
    """Chains of near hashes are one group, whatever bits differ."""
    chance = random.Random(3)
    hashes: dict[str, int] = {}
    for number in range(120):
        value = chance.getrandbits(64)
        for step in range(chance.randrange(1, 4)):
            hashes[f"{number}-{step}"] = value
            for bit in chance.sample(range(64), chance.randrange(MOST_BITS + 3)):
                value ^= 1 << bit
    assert sorted(map(sorted, group_near_duplicates(hashes))) == sorted(map(sorted, group_by_comparing_all(hashes)))


def group_by_comparing_all(hashes: dict[str, int]) -> list[list[str]]:
    """The same groups, slowly."""
    groups: list[list[str]] = []
    for name, value in hashes.items():
        near = [g for g in groups if any(count_different_bits(hashes[o], value) <= MOST_BITS for o in g)]
        groups = [g for g in groups if g not in near] + [[name, *(o for g in near for o in g)]]
    return [group for group in groups if len(group) > 1]
