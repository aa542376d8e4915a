"""An image in an answer where the configuration expects an address: it was paid for, so it is taken."""

from __future__ import annotations

import base64

import pytest

from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.answers import read_output
from tasks.backends.http_api.options import HttpOptions
from tests.tasks.backends.http_api.test_powers import IMAGE

ENCODED = base64.b64encode(IMAGE).decode()
OPTIONS = HttpOptions.model_validate(
    {
        "create": {"method": "POST", "url": "https://api.example/x", "body": {"prompt": "{prompt}"}},
        "output": {"at": "/image"},
    }
)


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
