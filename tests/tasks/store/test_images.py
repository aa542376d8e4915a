from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from tasks.core.configuration.sections import OutputSettings
from tasks.core.errors import BadImage, BatchStopped
from tasks.core.records import Job, StoredImage
from tasks.store.chunks import iterate_chunks
from tasks.store.embedding.embed import read
from tasks.store.embedding.notes import embedded_parameters
from tasks.store.exif import is_turned
from tasks.store.images import MAX_IMAGE_PIXELS, Measured, build_image_path, measure, store_image
from tasks.store.output.folder import OutputFolder
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[3]

JOB = Job(
    job_id="ab" + "3f9a1c2b77d0" * 5 + "00",
    position=0,
    id="Fox",
    line=1,
    sample=0,
    prompt="a red fox",
    negative_prompt=None,
    backend="sketch",
    backend_type="sketch",
    model="sketch-1",
    width=512,
    height=None,
    aspect_ratio=None,
    steps=None,
    seed=7,
    format="png",
    backend_opts={},
    extra={},
)


def saved(format_: str, mode: str = "RGB", size: tuple[int, int] = (61, 37), **options: Any) -> bytes:
    """A real file with many colours."""
    file = BytesIO()
    Image.radial_gradient("L").resize(size).convert(mode).save(file, format=format_, **options)
    return file.getvalue()


def animated(format_: str) -> bytes:
    """A real file of two frames."""
    return saved(format_, save_all=True, append_images=[Image.new("RGB", (61, 37))])


FILES = {
    "png": saved("PNG"),
    "png palette": saved("PNG", "P"),
    "png animated": animated("PNG"),
    "jpeg": saved("JPEG"),
    "jpeg gray": saved("JPEG", "L"),
    "jpeg cmyk": saved("JPEG", "CMYK"),
    "jpeg progressive": saved("JPEG", progressive=True),
    "webp": saved("WEBP"),
    "webp alpha": saved("WEBP", "RGBA"),
    "webp lossless": saved("WEBP", "RGBA", lossless=True),
    "webp animated": animated("WEBP"),
}
OTHERS = {"gif": saved("GIF", "P"), "gif animated": animated("GIF")} | (
    {"avif": saved("AVIF")} if features.check("avif") else {}
)


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size, with hardly any pixels in it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(64))), chunk(b"IEND", b"")]
    )


@pytest.mark.parametrize("name", [*FILES, *OTHERS])
def test_size_and_format_are_those_of_the_bytes(name: str) -> None:
    """What is written down is read from the file, for every format that can be stored."""
    data = (FILES | OTHERS)[name]
    assert measure(data) == Measured(61, 37, name.split(maxsplit=1)[0])


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (61, 37)), (3, (61, 37)), (5, (37, 61)), (6, (37, 61)), (8, (37, 61))]
)
@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "PNG", "AVIF"])
def test_sides_are_those_that_a_viewer_shows(format_: str, orientation: int, size: tuple[int, int]) -> None:
    """An Exif orientation that turns the image by a quarter exchanges width and height."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(format_, exif=exif.tobytes())
    measured = measure(data)
    with Image.open(BytesIO(data)) as image:
        assert ImageOps.exif_transpose(image).size == (measured.width, measured.height) == size


@given(junk=st.binary(max_size=60))
def test_damaged_exif_turns_nothing(junk: bytes) -> None:
    """Any bytes may stand there."""
    assert is_turned(b"MM\0*" + junk) in {True, False}
    assert not is_turned(junk[:20])


def test_a_jpeg_of_several_images_is_a_jpeg() -> None:
    """What Pillow calls MPO is a JPEG to every other program, and is named so."""
    assert measure(animated("MPO")) == Measured(61, 37, "jpeg")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no bytes came"),
        (b"<!DOCTYPE html><title>502 Bad Gateway</title>", "not an image .*a web page.*502 Bad Gateway"),
        (b'{"detail": "expired"}', "not an image .*a text.*expired"),
        ("zu spät ".encode() * 20, "not an image .*a text.*zu spät"),
        (b"\0\0\0\x18ftypmp42 video", "not an image .*18 bytes that start with 00 00 00 18"),
        (b"BM" + bytes(60), "not an image .*62 bytes that start with 42 4d"),
        (b"\xff\xd8", "not an image .*2 bytes that start with ff d8"),
        (FILES["png"][:100], "the PNG is cut off after 100 bytes"),
        (FILES["jpeg"][:-2], "the JPEG is cut off"),
        (FILES["webp"][:-1], "the WebP is cut off"),
        (b"\xff\xd8\xff\xd9", "the jpeg of 4 bytes cannot be decoded"),
        (b"RIFF\4\0\0\0WEBP", "the WebP has no pixels"),
        (png_of_size(64, 64), "the png of .* cannot be decoded"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, message: str) -> None:
    """The message says what came instead of an image, and that it may have cost something."""
    with pytest.raises(BadImage, match=message) as caught:
        measure(data)
    assert caught.value.cost_micros is None


@given(name=st.sampled_from(sorted(FILES)), left=st.floats(0, 1, exclude_max=True))
@example(name="png", left=0.999)
@example(name="jpeg progressive", left=0.999)
@example(name="webp lossless", left=0.999)
def test_no_truncated_file_passes(name: str, left: float) -> None:
    """A file of which any number of last bytes is missing is never taken for a whole image."""
    data = FILES[name]
    with pytest.raises(BadImage):
        measure(data[: int(left * len(data))])


@pytest.mark.parametrize("name", FILES)
def test_not_even_the_last_byte_may_be_missing(name: str) -> None:
    """The ends of the three formats are checked to the byte, where decoders are content with less."""
    with pytest.raises(BadImage):
        measure(FILES[name][:-1])


@pytest.mark.parametrize("name", OTHERS)
def test_a_rare_format_without_its_second_half_is_refused(name: str) -> None:
    """Formats whose structure we do not check are still decoded."""
    with pytest.raises(BadImage):
        measure(OTHERS[name][: len(OTHERS[name]) // 3])


@pytest.mark.parametrize("name", [*FILES, *OTHERS])
def test_bytes_behind_the_image_are_ignored(name: str) -> None:
    """A file with something behind its end is still a whole image."""
    data = (FILES | OTHERS)[name]
    assert measure(data + bytes(16)) == measure(data)


@given(place=st.integers(8, len(FILES["png"]) - 1), bit=st.integers(0, 7))
def test_one_wrong_bit_in_a_png_is_noticed(place: int, bit: int) -> None:
    """PNG has checksums, and all of them are checked, those of the pixels too."""
    data = bytearray(FILES["png"])
    data[place] ^= 1 << bit
    with pytest.raises(BadImage):
        measure(bytes(data))


@given(
    name=st.sampled_from(sorted(FILES | OTHERS)), place=st.integers(0, 3_000), junk=st.binary(min_size=1, max_size=16)
)
def test_a_damaged_file_is_measured_or_refused(name: str, place: int, junk: bytes) -> None:
    """Whatever a decoder makes of damaged bytes, only `BadImage` comes out."""
    data = (FILES | OTHERS)[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the damage
        with suppress(BadImage):
            measure(data[:place] + junk + data[place + len(junk) :])


@pytest.mark.parametrize(
    "size", [(MAX_IMAGE_PIXELS + 1, 1), (20_000, 10_001), (30_000, 30_000), (2**31 - 1, 2**31 - 1)]
)
def test_a_decompression_bomb_is_refused_undecoded(size: tuple[int, int]) -> None:
    """A few bytes that claim a huge image are refused by their header alone, without a warning of Pillow's."""
    with pytest.raises(BadImage, match="larger than 200000000 pixels"):
        measure(png_of_size(*size))


def test_a_webp_bomb_is_refused_undecoded() -> None:
    """WebP's decoder takes its memory early: a canvas of 16 million pixels a side is refused before that."""
    data = bytearray(FILES["webp animated"])
    data[24:30] = b"\xff" * 6
    with pytest.raises(BadImage, match="larger than 200000000 pixels"):
        measure(bytes(data))


def test_a_large_image_within_the_limit_is_measured() -> None:
    """Images beyond Pillow's own limit (89 megapixels) are fine up to ours, and warn nobody."""
    file = BytesIO()
    Image.new("1", (19_000, 10_000)).save(file, format="PNG")
    assert measure(file.getvalue()) == Measured(19_000, 10_000, "png")
    with Image.open(file) as image:  # as a reader of the stored file does; Pillow by itself refuses it
        assert image.size == (19_000, 10_000)


@pytest.mark.parametrize(
    ("row_id", "prompt", "slug"),
    [
        ("fox", "a red fox", "fox"),
        ("Über/../Fuchs.png", "", "uber-fuchs-png"),
        (None, "a red fox,\nin the snow!", "a-red-fox-in-the-snow"),
        (None, "狐", "hu"),
        (None, "🦊", "image"),
        ("🦊", "a red fox", "image"),
        (None, "\ud800", "image"),
        (None, "word " * 9_000, "word-word-word-word-word-word-word-word-word"),
        (None, "x" * 9_000, "x" * 48),
    ],
)
def test_the_file_name_tells_the_row_and_the_job(row_id: str | None, prompt: str, slug: str) -> None:
    """A name is readable, safe on every system, and different for every job."""
    job = dataclasses.replace(JOB, id=row_id, prompt=prompt)
    assert build_image_path(job, "jpeg") == f"images/ab/{slug}-ab3f9a1c2b77.jpg"


def test_parameters_are_what_was_asked_for() -> None:
    """A file tells its prompt, seed, model and identity; what was left open is not in it."""
    assert embedded_parameters(JOB) == {
        "prompt": "a red fox",
        "seed": 7,
        "model": "sketch-1",
        "backend": "sketch",
        "requested_width": 512,
        "job_id": JOB.job_id,
        "id": "Fox",
        "sample": 0,
    }


def stored(folder: Path, data: bytes, *, embed_parameters: bool, job: Job = JOB) -> StoredImage:
    """Store an image in a folder."""
    settings = OutputSettings(embed_parameters=embed_parameters, provenance="none")
    return asyncio.run(store_image(OutputFolder(folder), job, data, settings))


@pytest.mark.parametrize("name", [*FILES, *OTHERS])
def test_the_record_describes_the_file(tmp_path: Path, name: str) -> None:
    """Size, digest and name of the record are those of the file, with the extension of its real format."""
    image = stored(tmp_path, (FILES | OTHERS)[name], embed_parameters=True)
    on_disk = (tmp_path / image.file_name).read_bytes()
    assert files_in(tmp_path) == {image.file_name}
    assert image.file_name == build_image_path(JOB, image.format)
    assert (image.bytes, image.sha256) == (len(on_disk), hashlib.sha256(on_disk).hexdigest())
    assert (image.width, image.height, image.format) == (61, 37, name.split(maxsplit=1)[0])


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_parameters_are_in_the_file(tmp_path: Path, name: str) -> None:
    """The file on disk carries what was asked for, and is still a whole image."""
    image = stored(tmp_path, FILES[name], embed_parameters=True)
    on_disk = (tmp_path / image.file_name).read_bytes()
    assert read(on_disk) == embedded_parameters(JOB)
    assert measure(on_disk) == measure(FILES[name])


def test_without_parameters_the_bytes_stay(tmp_path: Path) -> None:
    """A user who wants no parameters in the files gets the backend's bytes."""
    image = stored(tmp_path, FILES["png"], embed_parameters=False)
    assert (tmp_path / image.file_name).read_bytes() == FILES["png"]


def test_the_same_job_again_replaces_its_file(tmp_path: Path) -> None:
    """A new attempt leaves one file, the new one."""
    stored(tmp_path, FILES["png"], embed_parameters=False)
    image = stored(tmp_path, FILES["png palette"], embed_parameters=False)
    assert files_in(tmp_path) == {image.file_name}
    assert (tmp_path / image.file_name).read_bytes() == FILES["png palette"]


def test_a_bad_image_writes_nothing(tmp_path: Path) -> None:
    """No file and no folder appears for bytes that are no image."""
    with pytest.raises(BadImage):
        stored(tmp_path / "out", FILES["png"][:-1], embed_parameters=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_stops_the_batch(tmp_path: Path) -> None:
    """The next images would be paid for and lost: the batch stops, resumable, and says where and what to do."""
    (tmp_path / "images").write_bytes(b"a file in the way")
    with pytest.raises(BatchStopped, match=r"cannot be written .*imagen resume") as caught:
        stored(tmp_path, FILES["png"], embed_parameters=False)
    assert caught.value.reason == "disk"
    assert str(tmp_path) in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """When the system cuts a write short, the batch stops and no part of a file is left."""
    program = (
        "import resource, sys; from pathlib import Path; from tasks.core.errors import BatchStopped\n"
        "from tests.tasks.store.test_images import FILES, stored\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: stored(Path(sys.argv[1]), FILES['png'], embed_parameters=False)\n"
        "except BatchStopped as stopped: print(stopped.reason, stopped)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert ended.stdout.startswith(f"disk {tmp_path} cannot be written (File too large)")
    assert files_in(tmp_path) == set()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KB; mounting one needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_batch(tiny_disk: Path) -> None:
    """A full disk stops the batch, resumable, with what to do; what was stored before stays, no part of a file is left."""
    first = stored(tiny_disk, FILES["png"], embed_parameters=False)
    large = saved("PNG", size=(256, 256), compress_level=0)
    other = dataclasses.replace(JOB, job_id="cd" * 32)
    with pytest.raises(BatchStopped, match="is full: free some space and run `imagen resume") as caught:
        stored(tiny_disk, large, embed_parameters=False, job=other)
    assert caught.value.reason == "disk"
    assert files_in(tiny_disk) == {first.file_name}
    assert (tiny_disk / first.file_name).read_bytes() == FILES["png"]


def test_a_signed_image_is_stored_as_it_came(tmp_path: Path) -> None:
    """A C2PA signature would break: the parameters stay out of the file."""
    end = list(iterate_chunks(FILES["png"]))[-1].start
    body = b"caBX" + b"jumb"
    signed = FILES["png"][:end] + (4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4) + FILES["png"][end:]
    image = stored(tmp_path, signed, embed_parameters=True)
    assert (tmp_path / image.file_name).read_bytes() == signed
