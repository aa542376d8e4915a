"""Other sizes and formats of exported images, opened by Pillow."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.core.errors import InputError, OutputError
from tasks.metadata.exports.conversion import Conversion, get_extension, parse_sizes
from tasks.metadata.exports.export import export_batch
from tasks.metadata.exports.exported import Exported
from tasks.metadata.exports.targets import ExportFormat
from tasks.store.embedding.embed import read
from tasks.store.encode import EXTENSIONS
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.tasks.metadata.exports.conftest import make_batch


def draw(width: int, height: int, mode: str = "RGB", form: str = "PNG", **options: Any) -> bytes:
    """A file of one colour."""
    file = BytesIO()
    Image.new(mode, (width, height)).save(file, form, **options)
    return file.getvalue()


def sign(png: bytes) -> bytes:
    """The PNG with a chunk that holds a C2PA manifest; its checksum is right."""
    from zlib import crc32  # noqa: PLC0415  only here

    chunk = b"caBX" + b"jumb"
    at = png.index(b"IDAT") - 4
    return png[:at] + (4).to_bytes(4) + chunk + crc32(chunk).to_bytes(4) + png[at:]


FILES = {
    "wide": draw(400, 100),
    "clear": draw(300, 300, "RGBA"),
    "palette": draw(200, 100, "P"),
    "small": draw(64, 32, form="WEBP"),
    "signed": sign(draw(256, 256)),
    "moving": draw(150, 150, "P", "GIF"),
    "line": draw(2_000, 1),
}


@pytest.fixture
async def drawn(out: Path) -> Path:
    """A batch of images of many kinds."""
    return await make_batch(out, [make_job(number, id=name) for number, name in enumerate(FILES)], FILES)


async def export(out: Path, target: Path, conversion: Conversion, **options: Any) -> Exported:
    """Export as files whose names are their ids."""
    options.setdefault("name", "{id}-{size}.{ext}")
    return await export_batch(OutputFolder(out), ExportFormat.FILES, target, conversion=conversion, **options)


async def test_sizes_bound_the_longest_side_and_never_enlarge(drawn: Path, tmp_path: Path) -> None:
    """The ratio stays, down to one pixel; what is small enough is the batch's file, byte for byte; the index tells the truth."""
    done = await export(drawn, tmp_path / "to", Conversion((100, 250)))
    assert (done.rows, done.files) == (len(FILES), 2 * len(FILES))
    shapes = {}
    for row in map(json.loads, (tmp_path / "to" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()):
        path = tmp_path / "to" / row["file_name"]
        assert (row["bytes"], row["sha256"]) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        with Image.open(path) as image:
            image.load()
            shapes[path.name] = image.size
            assert (row["width"], row["height"], row["format"]) == (*image.size, image.format.lower())  # type: ignore[union-attr]  # it was opened
    assert shapes == {
        "wide-100.png": (100, 25),
        "wide-250.png": (250, 62),
        "clear-100.png": (100, 100),
        "clear-250.png": (250, 250),
        "palette-100.png": (100, 50),
        "palette-250.png": (200, 100),
        "small-100.webp": (64, 32),
        "small-250.webp": (64, 32),
        "signed-100.png": (100, 100),
        "signed-250.png": (250, 250),
        "moving-100.png": (100, 100),
        "moving-250.png": (150, 150),
        "line-100.png": (100, 1),
        "line-250.png": (250, 1),
    }
    assert (tmp_path / "to" / "small-100.webp").read_bytes() == next(drawn.rglob("small-*.webp")).read_bytes()


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
async def test_parameters_go_along_and_signatures_are_told(form: str, drawn: Path, tmp_path: Path) -> None:
    """Every format carries what the batch embedded; a converted file has no signature, and the record says so."""
    conversion = Conversion((90,), form, 80)  # type: ignore[arg-type]  # a parameter of the test
    done = await export(drawn, tmp_path / "to", conversion, name="{id}.{ext}")
    wide = next((tmp_path / "to").glob("wide.*")).read_bytes()
    with Image.open(BytesIO(wide)) as image:
        assert (image.format, image.size) == (form.upper(), (90, 22))
    embedded = read(wide)
    assert embedded is not None
    assert embedded["prompt"] == "a picture of number 0"
    assert done.as_dict()["lost_signatures"] == 1
    assert "without their C2PA signature: 1 file" in done.line()


async def test_what_needs_no_change_keeps_its_signature(drawn: Path, tmp_path: Path) -> None:
    """Without a size, the images that have the format are copies."""
    done = await export(drawn, tmp_path / "to", Conversion((), "png"), name="{id}.{ext}")
    assert (tmp_path / "to" / "signed.png").read_bytes() == FILES["signed"]
    assert "lost_signatures" not in done.as_dict()


async def test_two_sizes_under_one_name_are_told(drawn: Path, tmp_path: Path) -> None:
    """Before anything is written; without a template the size is in the name."""
    with pytest.raises(InputError, match="7 files a name that another one has"):
        await export(drawn, tmp_path / "to", Conversion((50, 60)), name="{id}.{ext}")
    assert not (tmp_path / "to").exists()
    assert (await export(drawn, tmp_path / "to", Conversion((50, 60)), name=None)).files == 2 * len(FILES)


async def test_what_a_format_does_not_hold_is_told(out: Path, tmp_path: Path) -> None:
    """WebP has a longest side; the message names the image, and nothing is left."""
    await make_batch(out, [make_job(0, id="long")], {"long": draw(16_400, 1)})
    with pytest.raises(OutputError, match=r"images/.*long.*: cannot be written as webp"):
        await export(out, tmp_path / "to", Conversion((), "webp"))
    assert not (tmp_path / "to").exists()


async def test_sizes_are_for_files(drawn: Path, tmp_path: Path) -> None:
    """In another form they would be ignored in silence."""
    with pytest.raises(InputError, match="--format files"):
        await export_batch(OutputFolder(drawn), ExportFormat.PARQUET, tmp_path / "x", conversion=Conversion((5,)))


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "512,512", "1e9", "512,", "99999999999", "a", "²", "1,2,3,4,5,6,7,8,9,10,11"]
)
def test_a_wrong_size_is_told(text: str) -> None:
    """Whole numbers, each once."""
    with pytest.raises(InputError, match="--sizes"):
        parse_sizes(text)
    assert parse_sizes("512, 1024") == (512, 1024)


def test_an_extension_is_the_store_s() -> None:
    """Names are planned without loading Pillow; the files have the extensions of the batch all the same."""
    assert {form: f".{get_extension(form)}" for form in EXTENSIONS} == EXTENSIONS


async def test_grey_of_16_bits_keeps_its_light(out: Path, tmp_path: Path) -> None:
    """It is scaled to 8 bits, and not cut to white."""
    file = BytesIO()
    Image.new("I;16", (100, 50), 40_000).save(file, "PNG")
    await make_batch(out, [make_job(0, id="grey")], {"grey": file.getvalue()})
    await export(out, tmp_path / "to", Conversion((50,), "png"), name="{id}.{ext}")
    with Image.open(tmp_path / "to" / "grey.png") as image:
        assert image.getpixel((9, 9)) == 40_000 // 256


async def test_damaged_exif_hides_no_image(out: Path, tmp_path: Path) -> None:
    """A service may write what Pillow cannot write back; the image is whole, and is written in the wanted size."""
    tags = Image.Exif()
    tags[0x0112], tags[0x0100] = 6, 40
    broken = bytearray(draw(40, 30, form="JPEG", exif=tags))
    broken[broken.index(b"Exif") + 19] = 7  # the width is a number, not some bytes
    await make_batch(out, [make_job(0, id="odd")], {"odd": bytes(broken)})
    await export(out, tmp_path / "to", Conversion((20,)), name="{id}.{ext}")
    with Image.open(tmp_path / "to" / "odd.jpg") as image:
        assert max(image.size) == 20
