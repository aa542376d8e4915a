"""The answer of the images API: its image however it is spelled, and what is no such answer."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tasks.backends.openai.answer import ImageAnswer, RawAnswer
from tasks.backends.openai.api import ImagesApi
from tasks.core.errors import JobError, Refused, UnreadableAnswer

IMAGE = bytes(range(256)) * 40
ENCODED = base64.b64encode(IMAGE).decode()
PNG_TEXT = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
USAGE = {"input_tokens": 3, "output_tokens": 5}


async def parse(document: object) -> ImageAnswer:
    """What the backend takes an answer for."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    api = ImagesApi(base="http://127.0.0.1:1/v1", key="", key_env=None, connections=1, timeout_s=1)
    try:
        return api.parse(RawAnswer(request_id="r", body=body, media_type="application/json"))
    finally:
        await api.close()


@pytest.mark.parametrize("encoded", [ENCODED, f"data:image/png;base64,{ENCODED}", ENCODED.rstrip("="), f"{ENCODED}\n"])
async def test_an_image_is_decoded_however_it_is_spelled(encoded: str) -> None:
    """Whatever the server's base64 looks like, the paid image and the tokens are taken."""
    found = await parse({"created": 1, "data": [{"b64_json": encoded, "revised_prompt": 'a "fox"'}], "usage": USAGE})
    assert (found.image, found.usage, found.address, found.images) == (IMAGE, USAGE, None, 1)


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        b"",
        b"[]",
        b'{"data": {}}',
        b"[" * 100_000,
        json.dumps({"data": [{"b64_json": ENCODED}]}).encode()[:-30],
        {"data": [{"b64_json": "A*" + ENCODED}]},
        {"error": {"message": "worker crashed"}},
        {"error": "out of memory"},
        {"data": [{"content": PNG_TEXT}]},
        {"output": [{"file": "https://cdn.test/a.png?sig=1"}]},
        {"id": "t1", "status": "queued"},
    ],
)
async def test_what_is_no_whole_answer_is_kept_as_it_came(document: object) -> None:
    """It may have been billed, so the error carries the answer and its cost is not called 0."""
    with pytest.raises(UnreadableAnswer) as caught:
        await parse(document)
    assert caught.value.raw == (document if isinstance(document, bytes) else json.dumps(document).encode())
    assert caught.value.cost_micros is None


async def test_an_error_of_moderation_in_a_success_is_a_refusal() -> None:
    """A 200 can refuse too, and nobody says that it is free."""
    with pytest.raises(Refused, match="safety") as caught:
        await parse({"error": {"code": "moderation_blocked", "message": "rejected by the safety system"}})
    assert caught.value.cost_micros is None


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"data": []}, ImageAnswer(image=None, address=None)),
        ({"data": None}, ImageAnswer(image=None, address=None)),
        ({"data": [{"url": "http://a/b"}]}, ImageAnswer(image=None, address="http://a/b")),
        ({"data": [{"url": 7, "b64_json": None}]}, ImageAnswer(image=None, address=None)),
        ({"data": ["x", {}, {"url": "http://a/b"}, {"url": ""}]}, ImageAnswer(image=None, address="http://a/b")),
        ({"data": [{}] * 1_000}, ImageAnswer(image=None, address=None)),
        ({"images": [{"url": "http://a/b"}], "seed": 1}, ImageAnswer(image=None, address="http://a/b")),
        ({"images": [PNG_TEXT]}, ImageAnswer(image=base64.b64decode(PNG_TEXT), address=None)),
        ({"data": [], "help": "https://docs.test/policy"}, ImageAnswer(image=None, address=None)),
        ({"data": [{"url": "u"}], "usage": [1]}, ImageAnswer(image=None, address="u")),
    ],
)
async def test_answers_without_an_image_and_with_several(document: dict[str, Any], expected: ImageAnswer) -> None:
    """An entry without an image is none, however many of them come: nobody bills for it."""
    assert await parse(document) == expected


async def test_an_error_is_a_job_s_own() -> None:
    """Nothing but the job ends with it."""
    with pytest.raises(JobError):
        await parse(b"\xff\xfe")
