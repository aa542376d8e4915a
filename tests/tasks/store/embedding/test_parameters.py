from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tasks.store.chunks import iterate_chunks
from tasks.store.embedding import embed as embedding
from tasks.store.embedding.embed import is_signed, read
from tasks.store.embedding.notes import Notes

PARAMETERS = {
    "prompt": "a fox, 狐 🦊\nin the snow",
    "negative_prompt": "blurry",
    "steps": 4,
    "seed": 1,
    "requested_width": 512,
    "requested_height": 512,
    "model": "black-forest-labs/flux-schnell:abc",
    "backend": "replicate",
}
TEXT = (
    "a fox, 狐 🦊\nin the snow\nNegative prompt: blurry\n"
    'Steps: 4, Seed: 1, Size: 512x512, Model: "black-forest-labs/flux-schnell:abc", Backend: replicate'
)
USER_COMMENT = 0x9286


def embed(data: bytes, parameters: dict[str, Any]) -> bytes:
    """The file with parameters alone."""
    return embedding.embed(data, Notes(parameters))


def picture(mode: str = "RGB", size: tuple[int, int] = (61, 37)) -> Image.Image:
    """A picture with many colours, and with transparency where the mode has it."""
    image = Image.radial_gradient("L").resize(size).convert("RGB" if mode == "P" else mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(size))
    return image.quantize(7) if mode == "P" else image


def saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    file = BytesIO()
    image.save(file, format=format_, **options)
    return file.getvalue()


def frames(count: int = 3) -> dict[str, Any]:
    """Options for an animation of so many further frames."""
    return {"save_all": True, "append_images": [Image.new("RGB", (61, 37), (n * 60, 0, 9)) for n in range(count)]}


FILES = {
    "png": saved(picture(), "PNG"),
    "png alpha": saved(picture("RGBA"), "PNG"),
    "png gray": saved(picture("L"), "PNG"),
    "png palette": saved(picture("P"), "PNG"),
    "png animated": saved(picture(), "PNG", **frames()),
    "jpeg": saved(picture(), "JPEG"),
    "jpeg gray": saved(picture("L"), "JPEG"),
    "jpeg progressive": saved(picture(), "JPEG", progressive=True),
    "jpeg restarts": saved(picture(), "JPEG", restart_marker_rows=1),
    "jpeg profile": saved(picture(), "JPEG", icc_profile=bytes(70_000)),
    "webp lossy": saved(picture(), "WEBP"),
    "webp lossy odd": saved(picture(size=(7, 3)), "WEBP"),
    "webp lossy alpha": saved(picture("RGBA"), "WEBP"),
    "webp lossless": saved(picture(), "WEBP", lossless=True),
    "webp lossless alpha": saved(picture("RGBA"), "WEBP", lossless=True),
    "webp profile": saved(picture(), "WEBP", icc_profile=bytes(129)),
    "webp xmp": saved(picture(), "WEBP", xmp=b"<x:xmpmeta/>"),
    "webp animated": saved(picture(), "WEBP", **frames()),
}
every_file = pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
every_format = pytest.mark.parametrize("name", ["png", "jpeg", "webp lossy"])


def pixels(data: bytes) -> list[tuple[str, tuple[int, int], bytes]]:
    """Every frame's mode, size and pixels, as Pillow decodes them."""
    found = []
    with Image.open(BytesIO(data)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append((image.mode, image.size, image.tobytes()))
    return found


def user_comment(data: bytes) -> str | None:
    """The text of Exif UserComment as a reader of Unicode comments decodes it."""
    with Image.open(BytesIO(data)) as image:
        comment = image.getexif().get_ifd(0x8769).get(USER_COMMENT)
    return None if comment is None else comment.removeprefix(b"UNICODE\0").decode("utf-16-be")


def without_parameters(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks that are not ours; the flags of VP8X without the one for Exif."""
    kept = []
    for chunk in iterate_chunks(data):
        body = data[chunk.body]
        ours = (b"imagen", b"parameters\0", b"Exif\0\0MM\0*", b"MM\0*")
        if chunk.kind != b"IMGN" and not body.startswith(ours):
            kept.append((chunk.kind, bytes([body[0] & ~8]) + body[1:] if chunk.kind == b"VP8X" else body))
    return kept


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk as the PNG specification has it."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@every_file
def test_pixels_are_identical(data: bytes) -> None:
    """Embedding never changes a pixel, a mode or a frame."""
    assert pixels(embed(data, PARAMETERS)) == pixels(data)


@every_file
def test_the_mapping_comes_back(data: bytes) -> None:
    """What was embedded is what is read."""
    assert read(data) is None
    assert read(embed(data, PARAMETERS)) == PARAMETERS


@every_file
def test_all_other_chunks_stay(data: bytes) -> None:
    """Colour profiles, foreign metadata and pixel data stay byte for byte, in their order."""
    before = without_parameters(data)
    after = without_parameters(embed(data, PARAMETERS))
    if before[0][0] in {b"VP8 ", b"VP8L"}:
        assert after.pop(0)[0] == b"VP8X"
    assert after == before


@every_file
def test_bytes_behind_the_picture_stay(data: bytes) -> None:
    """What follows the end of a file is kept, and does not stop us."""
    embedded = embed(data + b"behind", PARAMETERS)
    assert embedded.endswith(b"behind")
    assert read(embedded) == PARAMETERS


@every_file
def test_the_last_mapping_wins(data: bytes) -> None:
    """A file that goes through twice says what was embedded last."""
    assert read(embed(embed(data, PARAMETERS), {"prompt": "second"})) == {"prompt": "second"}


def test_png_carries_the_text_that_web_uis_read() -> None:
    """A PNG shows prompt and settings where Stable Diffusion web UIs look for them."""
    with Image.open(BytesIO(embed(FILES["png"], PARAMETERS))) as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.text["parameters"] == TEXT


@pytest.mark.parametrize("name", ["jpeg", "jpeg gray", "webp lossy", "webp lossless alpha", "webp xmp"])
def test_jpeg_and_webp_carry_the_text_in_exif(name: str) -> None:
    """JPEG and WebP show the same text in Exif's UserComment."""
    assert user_comment(embed(FILES[name], PARAMETERS)) == TEXT


def test_the_settings_line_is_one_that_web_uis_recognise() -> None:
    """Web UIs want three settings in the last line, and a value with a comma or colon in quotes."""
    smallest = {"prompt": "fox", "seed": 7, "model": "a, b", "backend": "local"}
    with Image.open(BytesIO(embed(FILES["png"], smallest))) as image:
        last = image.info["parameters"].splitlines()[-1]
    settings = re.findall(r'([A-Z]\w+): ("[^"]*"|[^,]*)', last)
    assert settings == [("Seed", "7"), ("Model", '"a, b"'), ("Backend", "local")]


def test_text_chunks_lie_before_the_pixels() -> None:
    """A reader that stops at the pixels has seen the parameters."""
    kinds = [chunk.kind for chunk in iterate_chunks(embed(FILES["png"], PARAMETERS))]
    assert kinds == [b"IHDR", b"iTXt", b"iTXt", b"IDAT", b"IEND"]


def test_exif_follows_the_jfif_header() -> None:
    """The JFIF header stays the first segment, as its specification asks."""
    kinds = [chunk.kind for chunk in iterate_chunks(embed(FILES["jpeg"], PARAMETERS))]
    assert kinds[:3] == [b"\xe0", b"\xe1", b"\xfe"]


@every_format
def test_a_text_from_the_backend_is_kept(name: str) -> None:
    """What the backend wrote stays the file's text; only our JSON is added."""
    exif = Image.Exif()
    exif[0x010E] = "the backend's"
    png_info = PngImagePlugin.PngInfo()
    png_info.add_text("parameters", "the backend's")
    format_ = name.split(maxsplit=1)[0]
    own = {"pnginfo": png_info} if format_ == "png" else {"exif": exif}
    data = embed(saved(picture(), format_, **own), PARAMETERS)
    with Image.open(BytesIO(data)) as image:
        assert "the backend's" in {image.info.get("parameters"), image.getexif().get(0x010E)}
    assert read(data) == PARAMETERS
    if format_ != "png":
        assert user_comment(data) is None


@pytest.mark.parametrize(
    ("name", "alpha"),
    [
        ("webp lossy", False),
        ("webp lossless", False),
        ("webp lossy alpha", True),
        ("webp lossless alpha", True),
    ],
)
def test_the_extended_header_is_right(name: str, alpha: bool) -> None:  # noqa: FBT001  a column of the table above
    """The VP8X chunk has the picture's size, its alpha flag and the Exif flag."""
    data = embed(FILES[name], PARAMETERS)
    first = next(iterate_chunks(data))
    header = data[first.body]
    assert first.kind == b"VP8X"
    assert (header[0] & 0x10 != 0, header[0] & 0x08 != 0) == (alpha, True)
    assert int.from_bytes(header[4:7], "little") + 1 == 61
    assert int.from_bytes(header[7:10], "little") + 1 == 37


def test_the_riff_size_covers_the_file() -> None:
    """The RIFF header counts every byte behind it, and every chunk starts at an even place."""
    for parameters in (PARAMETERS, {"prompt": "x"}, {"prompt": "xy"}):
        data = embed(FILES["webp lossy odd"], parameters)
        assert int.from_bytes(data[4:8], "little") + 8 == len(data)
        assert all(chunk.start % 2 == 0 for chunk in iterate_chunks(data))


def test_a_webp_without_its_last_padding_is_left_untouched() -> None:
    """Decoders refuse a file whose last padding byte is missing: it is damaged, and comes back as it is."""
    sides = (saved(picture(size=(side, side)), "WEBP", lossless=True) for side in range(1, 40))
    data = next(data for data in sides if list(iterate_chunks(data))[-1].body.stop % 2)
    data = b"RIFF" + (len(data) - 9).to_bytes(4, "little") + data[8:-1]
    assert embed(data, PARAMETERS) == data


@every_format
def test_a_32_kb_prompt_fits(name: str) -> None:
    """A prompt of 32 KB is embedded in every format, and the file opens."""
    long = PARAMETERS | {"prompt": "fox " * 8_192}
    data = embed(FILES[name], long)
    assert read(data) == long
    assert pixels(data) == pixels(FILES[name])


def test_a_text_too_long_for_exif_in_jpeg_is_left_out() -> None:
    """Unicode doubles a prompt: beyond a segment's 64 KB the text is left out, never cut; the JSON stays."""
    data = embed(FILES["jpeg"], PARAMETERS | {"prompt": "x" * 33_000})
    assert user_comment(data) is None
    assert user_comment(embed(FILES["webp lossy"], PARAMETERS | {"prompt": "x" * 33_000})) is not None


def test_json_too_long_for_jpeg_is_left_out() -> None:
    """Parameters beyond a segment's 64 KB leave a JPEG as it is, and the metadata table has them."""
    assert embed(FILES["jpeg"], {"prompt": "x" * 70_000}) == FILES["jpeg"]


SIGNED = {
    "png": FILES["png"].replace(
        png_chunk(b"IEND", b""), png_chunk(b"caBX", b"\0\0\0\x1ejumb") + png_chunk(b"IEND", b"")
    ),
    "jpeg": FILES["jpeg"][:20]
    + b"\xff\xeb\x00\x14JP\x00\x01\x00\x00\x00\x01\x00\x00\x00\x0ajumbxy"
    + FILES["jpeg"][20:],
    "webp": b"RIFF"
    + (len(FILES["webp xmp"]) - 8 + 12).to_bytes(4, "little")
    + FILES["webp xmp"][8:]
    + b"C2PA\x04\0\0\0jumb",
}


@pytest.mark.parametrize("data", SIGNED.values(), ids=SIGNED.keys())
def test_a_signed_file_is_left_untouched(data: bytes) -> None:
    """A C2PA signature covers the whole file: it is seen, and not a byte changes."""
    assert pixels(data)
    assert is_signed(data)
    assert embed(data, PARAMETERS) == data


@every_file
def test_an_unsigned_file_is_not_called_signed(data: bytes) -> None:
    """Ordinary files, ours included, are not taken for signed ones."""
    assert not is_signed(data)
    assert not is_signed(embed(data, PARAMETERS))


def test_a_jpeg_of_several_pictures_is_left_untouched() -> None:
    """A multi-picture JPEG counts bytes to its further pictures: moving them would lose them."""
    data = saved(picture(), "MPO", **frames(1))
    assert embed(data, PARAMETERS) == data


@pytest.mark.parametrize("format_", ["GIF", "AVIF", "BMP", "TIFF"])
def test_other_formats_are_left_untouched(format_: str) -> None:
    """A format without a place for parameters comes back as it is."""
    data = saved(picture(), format_)
    assert embed(data, PARAMETERS) == data
    assert read(data) is None


@given(name=st.sampled_from(sorted(FILES)), cut=st.integers(0, 3_000))
def test_a_truncated_file_is_left_untouched(name: str, cut: int) -> None:
    """A file that is cut off anywhere comes back as it is, without an exception."""
    data = FILES[name][: min(cut, len(FILES[name]) - 1)]
    assert embed(data, PARAMETERS) == data
    assert read(data) is None
    assert not is_signed(data)


@given(name=st.sampled_from(sorted(FILES)), place=st.integers(0, 400), junk=st.binary(min_size=1, max_size=12))
def test_a_damaged_file_never_raises(name: str, place: int, junk: bytes) -> None:
    """Whatever stands in a file's headers, embedding and reading end without an exception."""
    data = FILES[name][:place] + junk + FILES[name][place + len(junk) :]
    embedded = embed(data, PARAMETERS)
    assert embedded == data or read(embedded) in (PARAMETERS, None)
    assert is_signed(data) in {True, False}


@given(head=st.sampled_from([FILES[name][:12] for name in ("png", "jpeg", "webp lossy")]), tail=st.binary(max_size=200))
def test_a_magic_number_before_anything_never_raises(head: bytes, tail: bytes) -> None:
    """Bytes that only start like a picture end without an exception."""
    embed(head + tail, PARAMETERS)
    read(head + tail)
    is_signed(head + tail)


@given(
    name=st.sampled_from(["png", "jpeg", "webp lossy"]),
    prompt=st.text(st.characters(), max_size=200),
    negative=st.one_of(st.none(), st.text(st.characters(), max_size=20)),
)
def test_any_text_survives(name: str, prompt: str, negative: str | None) -> None:
    """Every prompt comes back as it was: any script, control characters, even half of a surrogate pair."""
    parameters = {"prompt": prompt, "negative_prompt": negative, "seed": 2**31 - 1}
    data = embed(FILES[name], parameters)
    assert read(data) == parameters
    assert pixels(data) == pixels(FILES[name])


def test_a_webp_that_claims_no_size_is_left_untouched() -> None:
    """A picture header with a side of 0 pixels cannot be described in VP8X: the file is damaged."""
    data = bytearray(FILES["webp lossy"])
    body = next(iterate_chunks(bytes(data))).body
    data[body.start + 6 : body.start + 10] = bytes(4)
    assert embed(bytes(data), PARAMETERS) == data


def test_a_keyword_that_only_starts_like_ours_is_foreign() -> None:
    """Another program's text chunk is not read as our JSON, even behind it."""
    data = embed(FILES["png"], PARAMETERS)
    end = list(iterate_chunks(data))[-1].start
    assert read(data[:end] + png_chunk(b"iTXt", b"imagen2\0\0\0\0\0{}") + data[end:]) == PARAMETERS


def test_foreign_json_is_not_taken_for_parameters() -> None:
    """A comment of another program, or ours with something else than a mapping, reads as none."""
    for comment in (b"CREATOR: gd", b"imagen:[1]", b"imagen:{broken", b"imagen:" + b"[" * 50_000):
        assert read(saved(picture(), "JPEG", comment=comment)) is None
