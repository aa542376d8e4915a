"""Small images of whatever was stored, made once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, features

from tasks.report.gallery.thumbnails import (
    CHANGED,
    FOLDER,
    FOREIGN,
    GAP_PX,
    SIDE_PX,
    Thumbnail,
    Thumbnails,
    draw_contact_sheet,
    encode_thumbnail,
)
from tasks.store.images import measure
from tasks.store.output.folder import OutputFolder
from tests.support.scripted_backend import picture


def build_job(out: Path, file_name: str | None) -> dict[str, Any]:
    """The ledger's row of a file, as the store has written it."""
    path = out / (file_name or "")
    data = path.read_bytes() if path.is_file() else b""
    return {"file_name": file_name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def get_thumbnail_name(out: Path, file_name: str) -> str:
    """Its thumbnail's name."""
    sha256 = build_job(out, file_name)["sha256"]
    return f"{sha256[:2]}/{sha256}.webp"


async def make_thumbnail(
    out: Path, file_name: str | None, changes: Mapping[str, Any] | None = None
) -> Thumbnail | None:
    """What there is to see of one job."""
    place = OutputFolder(out)
    small = Thumbnails(place, sizes=await place.sizes(""), made=await place.names(FOLDER))
    (image,) = await small.make_page([{**build_job(out, file_name), **(changes or {})}])
    return image


@pytest.mark.parametrize(
    ("mode", "suffix", "kept"),
    [
        ("RGB", "png", "RGB"),
        ("RGBA", "png", "RGBA"),
        ("L", "png", "RGB"),
        ("LA", "png", "RGBA"),
        ("P", "png", "RGB"),
        ("1", "png", "RGB"),
        ("I;16", "png", "RGB"),
        ("CMYK", "jpg", "RGB"),
        ("RGB", "webp", "RGB"),
        ("P", "gif", "RGB"),
        pytest.param(
            "RGB", "avif", "RGB", marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
        ),
    ],
)
async def test_every_stored_format_has_a_thumbnail(mode: str, suffix: str, kept: str, out: Path) -> None:
    """It keeps shape and transparency, and is no larger than the grid needs."""
    Image.new(mode, (3 * SIDE_PX, SIDE_PX)).save(out / f"a.{suffix}")
    assert await make_thumbnail(out, f"a.{suffix}") == Thumbnail(
        get_thumbnail_name(out, f"a.{suffix}"), None, made=True
    )
    with Image.open(out / FOLDER / get_thumbnail_name(out, f"a.{suffix}")) as small:
        assert (small.format, small.mode) == ("WEBP", kept)
        assert abs(small.width - SIDE_PX) <= 1
        assert abs(small.height - SIDE_PX / 3) <= 1


async def test_a_small_image_is_not_blown_up(out: Path) -> None:
    """A thumbnail is never larger than its image."""
    Image.new("RGB", (40, 30)).save(out / "a.png")
    await make_thumbnail(out, "a.png")
    with Image.open(out / FOLDER / get_thumbnail_name(out, "a.png")) as small:
        assert small.size == (40, 30)


async def test_transparency_of_a_palette_is_kept(out: Path) -> None:
    """A palette may hold a transparent colour beside the pixels."""
    Image.new("P", (8, 8)).save(out / "a.png", transparency=0)
    await make_thumbnail(out, "a.png")
    with Image.open(out / FOLDER / get_thumbnail_name(out, "a.png")) as small:
        assert small.mode == "RGBA"


async def test_a_turned_photograph_stands_upright(out: Path) -> None:
    """The orientation that a camera notes is applied, since the thumbnail does not carry it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 20)).save(out / "a.jpg", exif=exif)
    await make_thumbnail(out, "a.jpg")
    with Image.open(out / FOLDER / get_thumbnail_name(out, "a.jpg")) as small:
        assert small.size == (20, 60)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_no_whole_image_is_copied(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """A copy of a large image takes megabytes where a run's memory is highest, so what is copied is shrunk before."""
    file, copied, copy = BytesIO(), set(), Image.Image.copy
    Image.new(mode, (80, 60)).save(file, "PNG")

    def note(image: Image.Image) -> Image.Image:
        copied.add(image.size)
        return copy(image)

    monkeypatch.setattr(Image.Image, "copy", note)
    encode_thumbnail(file.getvalue(), side_px=20)
    assert copied <= {(20, 15)}


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_a_photograph_of_any_mode_is_turned_when_it_is_small(mode: str) -> None:
    """The direction is still known after the pixels were converted and shrunk."""
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new(mode, (60, 20)).save(file, "JPEG", exif=exif)
    with Image.open(BytesIO(encode_thumbnail(file.getvalue(), side_px=30))) as small:
        assert small.size == (10, 30)


async def test_the_same_image_is_not_made_again(out: Path) -> None:
    """A thumbnail belongs to the sha256, whatever the file is called."""
    Image.new("RGB", (40, 30)).save(out / "a.png")
    await make_thumbnail(out, "a.png")
    (out / "a.png").rename(out / "b.png")
    before = (out / FOLDER / get_thumbnail_name(out, "b.png")).stat().st_mtime_ns
    assert await make_thumbnail(out, "b.png") == Thumbnail(get_thumbnail_name(out, "b.png"), None, made=False)
    assert (out / FOLDER / get_thumbnail_name(out, "b.png")).stat().st_mtime_ns == before


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
async def test_a_damaged_image_is_told(content: bytes, out: Path) -> None:
    """One file that cannot be read is a note in the gallery, never the end of it; formats that start programs are not tried."""
    (out / "a.png").write_bytes(content)
    image = await make_thumbnail(out, "a.png")
    assert image is not None
    assert image.thumbnail is None
    assert (image.trouble or "").startswith("the file cannot be read")


async def test_damaged_exif_hides_no_image(out: Path) -> None:
    """A service may write what Pillow cannot write back; the image itself is whole, and so was stored."""
    tags = Image.Exif()
    tags[0x0112], tags[0x0100] = 6, 40
    Image.new("RGB", (40, 30)).save(out / "a.jpg", exif=tags)
    broken = bytearray((out / "a.jpg").read_bytes())
    broken[broken.index(b"Exif") + 19] = 7  # the width is a number, not some bytes
    (out / "a.jpg").write_bytes(broken)
    measure(bytes(broken))
    assert await make_thumbnail(out, "a.jpg") == Thumbnail(get_thumbnail_name(out, "a.jpg"), None, made=True)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
async def test_a_damaged_avif_is_told(out: Path) -> None:
    """Its decoder fails in a way of its own."""
    Image.effect_noise((64, 64), 90).save(out / "a.avif")
    data = (out / "a.avif").read_bytes()
    (out / "a.avif").write_bytes(data.replace(b"iloc", b"free"))
    image = await make_thumbnail(out, "a.avif")
    assert image is not None
    assert (image.trouble or "").startswith("the file cannot be read")


async def test_a_cut_image_is_told(out: Path) -> None:
    """Half a file decodes to half an image: that is no thumbnail."""
    Image.effect_noise((64, 64), 90).save(out / "a.png")
    data = (out / "a.png").read_bytes()
    (out / "a.png").write_bytes(data[: len(data) // 2])
    image = await make_thumbnail(out, "a.png")
    assert image is not None
    assert image.trouble is not None
    assert not list((out / FOLDER).rglob("*"))


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [(None, None), ("images/gone.png", Thumbnail(None, "the file is missing", made=False))],
)
async def test_a_missing_image_is_told(file_name: str | None, expected: Any, out: Path) -> None:
    """A job without an image has none; a file that somebody took away is missing, even where its thumbnail is left."""
    Image.new("RGB", (8, 8)).save(out / "a.png")
    await make_thumbnail(out, "a.png")
    assert await make_thumbnail(out, file_name) == expected


async def test_an_image_that_came_after_the_look_is_not_missing(out: Path) -> None:
    """A running batch adds images meanwhile, of which one may equal an older one and have its thumbnail already."""
    Image.new("RGB", (8, 8)).save(out / "a.png")
    place = OutputFolder(out)
    small = Thumbnails(place, sizes={}, made=set())
    (first,) = await small.make_page([build_job(out, "a.png")])
    (second,) = await small.make_page([build_job(out, "a.png")])
    assert (first, second) == (
        Thumbnail(get_thumbnail_name(out, "a.png"), None, made=True),
        Thumbnail(get_thumbnail_name(out, "a.png"), None, made=False),
    )


async def test_an_overwritten_image_is_shown_and_told(out: Path) -> None:
    """A file that is not the one of the ledger is shown as it is now, whether or not the old one had a thumbnail."""
    Image.new("RGB", (8, 8), "red").save(out / "a.png")
    made = build_job(out, "a.png")
    await make_thumbnail(out, "a.png")
    Image.new("RGB", (9, 9), "blue").save(out / "a.png")
    expected = Thumbnail(get_thumbnail_name(out, "a.png"), CHANGED, made=True)
    assert await make_thumbnail(out, "a.png", made) == expected
    assert await make_thumbnail(out, "a.png", made) == replace(expected, made=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"file_name": "/etc/hostname"},
        {"file_name": "../secret.png"},
        {"file_name": "images/../../secret.png"},
        {"file_name": "C:\\secret.png"},
        {"sha256": "../../../../x"},
        {"sha256": None},
    ],
)
async def test_a_ledger_leads_nowhere_else(changes: dict[str, Any], out: Path) -> None:
    """Names out of a stranger's ledger neither read nor write anything outside of the folder."""
    Image.new("RGB", (8, 8)).save(out / "a.png")
    Image.new("RGB", (8, 8)).save(out.parent / "secret.png")
    before = set(out.parent.rglob("*"))
    assert await make_thumbnail(out, "a.png", changes) == FOREIGN
    assert set(out.parent.rglob("*")) == before


async def test_a_link_that_leads_out_is_not_followed(out: Path) -> None:
    """A folder that came from somebody else may hold links to this machine's files."""
    Image.new("RGB", (8, 8)).save(out.parent / "secret.png")
    (out / "a.png").symlink_to(out.parent / "secret.png")
    image = await make_thumbnail(out, "a.png")
    assert image is not None
    assert "leads out" in (image.trouble or "")
    assert image.thumbnail is None


def test_a_contact_sheet_has_its_images_side_by_side() -> None:
    """Five in columns of four are two rows; a wide image keeps its shape within its square."""
    sheet = draw_contact_sheet([picture(64, 32), *[picture(32, 32)] * 4], side_px=32, columns=4)
    with Image.open(BytesIO(sheet)) as image:
        assert image.size == (4 * 32 + 3 * GAP_PX, 2 * 32 + GAP_PX)
        colours = image.convert("RGBA")
        empty = [colours.getpixel(place) for place in ((16, 2), (60, 60))]
        drawn = [colours.getpixel(place) for place in ((16, 16), (56, 16), (16, 56))]
    assert all(isinstance(pixel, tuple) and pixel[3] == 0 for pixel in empty)
    assert all(isinstance(pixel, tuple) and pixel[3] == 255 for pixel in drawn)
