"""Answers to a paid call with something else in the image's place: what was paid for is taken, or stops the batch."""

from __future__ import annotations

import base64
from typing import Any

import pytest

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
