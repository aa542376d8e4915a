"""An answer read piece by piece: the picture decoded as it comes, whatever the pieces are."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from tasks.backends.openai.answer import UnreadableAnswer, read_answer

PICTURE = bytes(range(256)) * 40
USAGE = {"input_tokens": 3, "output_tokens": 5}


def answer(*, escaped: bool = False) -> bytes:
    """A whole answer."""
    encoded = base64.b64encode(PICTURE).decode()
    text = json.dumps({"created": 1, "data": [{"b64_json": "PICTURE", "revised_prompt": 'a "fox"'}], "usage": USAGE})
    return text.replace("PICTURE", encoded.replace("/", r"\/") if escaped else encoded).encode()


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    """The data in pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 3, 7, 64, 1000, 10**6])
@pytest.mark.parametrize("escaped", [False, True])
async def test_the_picture_does_not_depend_on_the_pieces(size: int, escaped: bool) -> None:  # noqa: FBT001  a case
    """Cut anywhere, in the key or in a group of base64, it is the same, and what stands beside it too."""
    found = await read_answer(pieces(answer(escaped=escaped), size), "r")
    assert (found.picture, found.usage, found.address) == (PICTURE, USAGE, None)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"[]",
        b'{"data": {}}',
        answer()[:-30],
        answer()[:200],
        answer().replace(b"AAEC", b"A*EC", 1),
        b'{"created": 1, "other": "' + b"x" * 1_100_000,
    ],
)
async def test_what_is_no_whole_answer_is_unreadable(data: bytes) -> None:
    """It is never taken for a picture."""
    with pytest.raises(UnreadableAnswer):
        await read_answer(pieces(data, 1000), "r")


async def test_an_answer_without_a_picture_or_with_an_address() -> None:
    """Both can be read."""
    assert (await read_answer(pieces(b'{"data": []}', 5), "r")).picture is None
    assert (await read_answer(pieces(b'{"data": [{"url": "http://a/b"}]}', 5), "r")).address == "http://a/b"


async def test_a_large_picture_is_in_memory_about_twice_at_most() -> None:
    """Neither its base64 nor a parsed copy of that is kept: a picture of 8 MB needs less than 18."""
    encoded = base64.b64encode(bytes(8_000_000))

    async def parts() -> AsyncIterator[bytes]:
        yield b'{"data": [{"b64_json": "'
        for start in range(0, len(encoded), 65_536):
            yield encoded[start : start + 65_536]
        yield b'"}]}'

    tracemalloc.start()
    try:
        found = await read_answer(parts(), "r")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.picture is not None
    assert len(found.picture) == 8_000_000
    assert peak < 18_000_000
