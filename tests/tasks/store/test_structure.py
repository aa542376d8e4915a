"""What the container of an image proves, and what only the decoder or a digest sees."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

import pytest

from tasks.backends.sketch.art import draw
from tasks.core.configuration.sections import Verify
from tasks.core.errors import BadImage
from tasks.store.chunks import MAX_CHUNKS, detect_format, iterate_chunks
from tasks.store.decoding import budget
from tasks.store.images import SMALL_IMAGE_PIXELS, measure, open_image
from tasks.store.structure import is_proven_whole

SIZE = (320, 256)
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "jpeg": ("JPEG", {"quality": 90}),
    "jpeg progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "webp lossy": ("WEBP", {"quality": 90}),
    "webp lossless": ("WEBP", {"lossless": True}),
    "webp with Exif": ("WEBP", {"exif": b"MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
    "gif": ("GIF", {}),
    "avif": ("AVIF", {}),
}
CHECKED_WHOLE = {"png"}
"""Formats with a checksum for every byte."""


@cache
def saved(way: str) -> bytes:
    """A grainy drawing, larger than what is always decoded."""
    assert SIZE[0] * SIZE[1] > SMALL_IMAGE_PIXELS
    file = BytesIO()
    format_, options = WAYS[way]
    draw("a harbour at night, rain", seed=7, width=SIZE[0], height=SIZE[1]).save(file, format_, **options)
    return file.getvalue()


def flip(data: bytes, dice: random.Random) -> bytes:
    """One bit is another."""
    place = dice.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]


def cut(data: bytes, dice: random.Random) -> bytes:
    """The end is missing."""
    return data[: dice.randrange(len(data))]


def swap(data: bytes, dice: random.Random) -> bytes:
    """Two pieces of up to 64 bytes have changed their places."""
    size = dice.randint(1, 64)
    one, other = sorted(dice.sample(range(0, len(data) - size, size), 2))
    pieces = [data[:one], data[other : other + size], data[one + size : other], data[one : one + size]]
    return b"".join([*pieces, data[other + size :]])


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {"flip": flip, "cut": cut, "swap": swap}


def is_caught(data: bytes, verify: Verify) -> bool:
    """Whether the image is refused."""
    try:
        measure(data, verify=verify)
    except BadImage:
        return True
    return False


def count_caught(way: str, places: int) -> Counter[tuple[str, str]]:
    """How many of each damage either level refuses; the number of real damages stands under the level `all`."""
    dice, found = random.Random(way), Counter[tuple[str, str]]()
    for name, damage in DAMAGES.items():
        for _ in range(places):
            if (damaged := damage(saved(way), dice)) == saved(way):
                continue
            caught = {level: is_caught(damaged, level) for level in ("auto", "decode")}
            assert caught["decode"] >= caught["auto"], f"{way}, {name}: decoding sees less than the container"
            found.update([(name, "all"), *((name, level) for level, refused in caught.items() if refused)])
    return found


def check_promises(way: str, found: Counter[tuple[str, str]]) -> None:
    """Cuts are always caught; in a format with checksums, so is everything else."""
    assert found["cut", "auto"] == found["cut", "all"]
    if way in CHECKED_WHOLE:
        assert all(found[name, "auto"] == found[name, "all"] for name in DAMAGES)


@pytest.mark.parametrize("way", WAYS)
def test_damage_that_is_promised_to_be_caught_is_caught(way: str) -> None:
    """A few places of each kind of damage; `make soak` tries a thousand."""
    check_promises(way, count_caught(way, 12))


@pytest.mark.soak
@pytest.mark.parametrize("way", WAYS)
def test_damage_at_a_thousand_places(way: str) -> None:
    """The table of docs/images.md: what either level catches of a thousand flips, cuts and swaps."""
    found = count_caught(way, 1_000)
    check_promises(way, found)
    for name in DAMAGES:
        counts = [found[name, level] for level in ("all", "auto", "decode")]
        print(f"{way}, {name}, of {counts[0]}: auto {counts[1]}, decode {counts[2]}")  # noqa: T201  the figures are its point


@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"gif"}))
def test_a_whole_file_is_proven_without_decoding(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pixel of an ordinary file is decoded under `auto`."""
    monkeypatch.setattr(budget, "reserve", lambda *_: pytest.fail("it was decoded"))
    measured = measure(saved(way))
    assert (measured.width, measured.height) == SIZE
    assert is_proven_whole(saved(way), measured.format)


@pytest.mark.parametrize("way", WAYS)
def test_bytes_behind_the_end_are_left_to_the_decoder(way: str) -> None:
    """A container that is odd, but not cut off, is decoded; what decodes is kept."""
    for behind in (b"behind", b"\n", b"<!-- served -->", b"\0\0\0\x08free", saved(way)):
        data = saved(way) + behind
        assert (measure(data).width, measure(data, verify="decode").width) == (SIZE[0], SIZE[0]), behind


@pytest.mark.parametrize("format_", ["png", "jpeg", "webp", "avif"])
def test_a_file_of_very_many_chunks_is_refused(format_: str) -> None:
    """The walk through the chunks ends at its bound, before anything is decoded."""
    count = MAX_CHUNKS + 1
    data = {
        "png": saved("png")[:33] + (b"\0\0\0\0teXt" + zlib.crc32(b"teXt").to_bytes(4)) * count,
        "jpeg": b"\xff\xd8" + b"\xff\xfe\0\2" * count + b"\xff\xd9",
        "webp": b"RIFF" + (4 + 8 * count).to_bytes(4, "little") + b"WEBP" + b"JUNK\0\0\0\0" * count,
        "avif": b"\0\0\0\x0cftypavif" + b"\0\0\0\x08free" * count,
    }[format_]
    assert detect_format(data) == format_
    with pytest.raises(BadImage, match="chunks"):
        measure(data)


def test_a_gif_of_very_many_blocks_is_refused() -> None:
    """Its sub-blocks are counted too."""
    with pytest.raises(BadImage, match="blocks"):
        measure(saved("gif")[:-1] + b"\x21\xfe" + b"\1x" * (6 * MAX_CHUNKS) + b"\0\x3b")


def build_webp(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP file of these chunks."""
    body = b"".join(kind + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def describe(flags: int) -> tuple[bytes, bytes]:
    """The chunk that describes a WebP file of `SIZE`."""
    return b"VP8X", bytes([flags, 0, 0, 0]) + b"".join((side - 1).to_bytes(3, "little") for side in SIZE)


def test_a_webp_whose_chunks_contradict_each_other_is_left_to_the_decoder() -> None:
    """No image passes `auto` that no viewer can open because its chunks are not those of its description."""
    pixels = read_pixels(saved("webp lossy"))
    alpha = (b"ALPH", b"\0" + bytes(SIZE[0] * SIZE[1]))
    assert is_proven_whole(build_webp(describe(0x10), alpha, pixels), "webp")
    for data in (
        build_webp(describe(0x10), alpha, alpha, pixels),
        build_webp(describe(0x02), pixels),
        build_webp(describe(0), pixels, pixels),
    ):
        assert not is_proven_whole(data, "webp")
        with pytest.raises(BadImage, match="decoded"):
            measure(data)


def test_exif_that_a_webp_does_not_announce_turns_nothing() -> None:
    """Width and height are those that a viewer shows, and viewers look for Exif data only where it is announced."""
    turned = (b"EXIF", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    pixels = read_pixels(saved("webp lossy"))
    sizes = [measure(build_webp(*front, pixels, turned)) for front in ([describe(0x08)], [describe(0)], [])]
    assert [(found.width, found.height) for found in sizes] == [SIZE[::-1], SIZE, SIZE]


def read_pixels(data: bytes) -> tuple[bytes, bytes]:
    """The only chunk of a plain WebP file."""
    (chunk,) = iterate_chunks(data)
    return chunk.kind, data[chunk.body]


@pytest.mark.parametrize("verify", ["auto", "decode"])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_no_text_of_a_png_hides_its_pixels(kind: bytes, verify: Verify) -> None:
    """A text or a profile that unpacks to very much, or that cannot be unpacked, is not what an image is judged by."""
    packed = zlib.compress(bytes(40_000_000), 9)
    heads = {b"zTXt": b"Note\0\0", b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0", b"iCCP": b"icc\0\0"}
    data = saved("png")
    for body in (
        heads[kind] + packed,
        heads[kind].replace(b"\0\0", b"\0\7") + packed,
        heads[kind] + b"rubbish",
        b"name",
    ):
        chunk = len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
        spoilt = data[:33] + chunk * 3 + data[33:]
        assert (measure(spoilt, verify=verify).width, measure(spoilt, verify=verify).height) == SIZE
        with open_image(spoilt) as image:
            image.load()


def test_a_colour_profile_of_a_printer_is_kept() -> None:
    """Profiles of up to 3 MB exist, and a conversion needs them."""
    profile, file = random.Random(1).randbytes(3_000_000), BytesIO()
    draw("a fox", seed=1, width=SIZE[0], height=SIZE[1]).save(file, "PNG", icc_profile=profile)
    with open_image(file.getvalue()) as image:
        assert image.info["icc_profile"] == profile


def test_an_avif_may_name_another_brand_first() -> None:
    """It is one by the brands that it lists, of which `mif1` is first at some encoders; a HEIC lists none."""
    data = saved("avif")
    assert (measure(data[:8] + b"mif1" + data[12:]).format, measure(data).format) == ("avif", "avif")
    assert detect_format(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + data) is None
