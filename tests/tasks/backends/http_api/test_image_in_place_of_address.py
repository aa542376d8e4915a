"""Answers to a paid call with something else in the image's place: what was paid for is taken, or stops the batch."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tasks.backends.client.answers import parse_json_bytes
from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.answers import read_output
from tasks.backends.http_api.options import HttpOptions
from tasks.core.errors import JobError, Refused, Transient, UnreadableAnswer
from tests.tasks.backends.http_api.test_powers import IMAGE

ENCODED = base64.b64encode(IMAGE).decode()
BLOCK = {
    "create": {"method": "POST", "url": "https://api.example/x", "body": {"prompt": "{prompt}"}},
    "output": {"at": "/image"},
}
OPTIONS = HttpOptions.model_validate(BLOCK)


@pytest.mark.parametrize(
    "text",
    [ENCODED, ENCODED.rstrip("="), "\r\n".join(ENCODED[at : at + 60] for at in range(0, len(ENCODED), 60))],
    ids=["as it is", "without padding", "in lines"],
)
def test_an_image_in_place_of_its_address_is_taken(text: str) -> None:
    """Its first bytes leave no doubt; asked for as an address, every such answer would be paid for and lost."""
    output = read_output(Answer(document={"image": text}), OPTIONS, "")
    assert (output.image, output.address) == (IMAGE, None)


@pytest.mark.parametrize("text", ["https://cdn.example/a.png", "/9j/4AAQ", "files/" + "a" * 70, "abc?d=" + ENCODED])
def test_an_address_stays_an_address(text: str) -> None:
    """Whatever letters it has."""
    assert read_output(Answer(document={"image": text}), OPTIONS, "").address == text


@pytest.mark.parametrize("drawing", [b"<svg xmlns='http://www.w3.org/2000/svg'>", b"<?xml version='1.0'?><svg>"])
def test_a_drawing_is_no_address(drawing: bytes) -> None:
    """Asked for as an address it would be lost; as an image it is kept and stops the batch."""
    text = base64.b64encode(drawing + b" " * 99).decode()
    assert read_output(Answer(document={"image": text}), OPTIONS, "").address is None


@pytest.mark.parametrize(
    "value",
    [
        IMAGE.hex(),
        IMAGE.hex().upper(),
        base64.b64encode(ENCODED.encode()).decode(),
        list(IMAGE),
        [byte - 256 if byte > 127 else byte for byte in IMAGE],
    ],
    ids=["hex", "HEX", "base64 twice", "bytes", "signed bytes"],
)
def test_an_image_is_taken_however_it_is_written(value: Any) -> None:
    """Read as base64, each would be paid for and lost."""
    options = HttpOptions.model_validate({**BLOCK, "output": {"kind": "base64", "at": "/image"}})
    output = read_output(Answer(document={"image": value}), options, "")
    assert (output.image, output.images) == (IMAGE, 1)


@pytest.mark.parametrize("text", ["aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=", "00" * 40, "not/an/image/at/all/abcd"])
def test_what_is_no_image_stops_the_batch_at_the_first_one(text: str) -> None:
    """The next answers would be of the same kind, and each is paid for; this one is kept."""
    options = HttpOptions.model_validate({**BLOCK, "output": {"kind": "base64", "at": "/image"}})
    with pytest.raises(UnreadableAnswer, match="not that of an image"):
        read_output(Answer(document={"image": text}), options, "")


@pytest.mark.parametrize("body", [ENCODED.encode(), b"data:image/png;base64," + ENCODED.encode()])
def test_base64_in_place_of_bytes_is_taken(body: bytes) -> None:
    """An answer that should be the image itself; other texts stop the batch."""
    options = HttpOptions.model_validate({**BLOCK, "output": {"kind": "bytes"}})
    assert read_output(Answer(document=None, raw=body), options, "").image == IMAGE
    with pytest.raises(UnreadableAnswer, match="cannot be unpacked"):
        read_output(Answer(document=None, raw=b"the queue is full"), options, "")


def test_latin_1_is_read_too() -> None:
    """A letter in another encoding must not lose the image beside it."""
    assert parse_json_bytes('{"note": "größe", "image": "x"}'.encode("latin-1"))["image"] == "x"


@pytest.mark.parametrize(
    ("settings", "words", "kind"),
    [
        ({}, "the sampler broke", UnreadableAnswer),
        ({"error": "/error/message"}, "the sampler broke", JobError),
        ({"failures_are_free": True}, "the sampler broke", JobError),
        ({"moderation": ["naughty"]}, "naughty words", Refused),
        ({"passing": ["busy"]}, "busy now", Transient),
    ],
)
def test_an_error_in_a_200_stops_the_batch_until_its_place_is_configured(
    settings: dict[str, Any], words: str, kind: type[JobError]
) -> None:
    """Each such answer may be paid for, so the first one is the last; what the configuration explains goes on."""
    options = HttpOptions.model_validate({**BLOCK, **settings})
    with pytest.raises(JobError, match=words) as caught:
        read_output(Answer(document={"error": {"message": words}}), options, words)
    assert type(caught.value) is kind
