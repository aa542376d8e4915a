"""The stand-ins, checked by the services' own clients: what those take for the real API, they take here too."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import TYPE_CHECKING

import fal_client
import fal_client.client
import pytest
from PIL import Image

from tests.support.fakes.fal_queue import MODEL, FalQueue
from tests.support.fakes.openai_batches import OpenAIBatches
from tests.support.fakes.openai_images import IMAGE_TOKENS, OUTPUT_TOKENS, OpenAIImages
from tests.support.fakes.serving import serving
from tests.support.scripted_backend import picture as png

if TYPE_CHECKING:
    import openai  # a second, and every test process collects this file: its tests import it


def measure_size(data: bytes) -> tuple[int, int]:
    """A picture's size in pixels; whole pictures only."""
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image.size


@pytest.fixture
async def images() -> AsyncIterator[tuple[OpenAIImages, openai.AsyncOpenAI]]:
    """The images API and OpenAI's client for it."""
    import openai  # noqa: PLC0415  see above

    service = OpenAIImages()
    async with (
        serving(service) as url,
        openai.AsyncOpenAI(api_key=service.key, base_url=f"{url}/v1", max_retries=0) as client,
    ):
        yield service, client


async def test_openai_makes_a_picture(images: tuple[OpenAIImages, openai.AsyncOpenAI]) -> None:
    """With its tokens."""
    _, client = images
    answer = await client.images.generate(
        model="gpt-image-1.5", prompt="a fox", size="1024x1024", quality="low", output_format="webp"
    )
    assert answer.data is not None
    assert answer.usage is not None
    assert answer.usage.output_tokens == OUTPUT_TOKENS
    assert measure_size(base64.b64decode(answer.data[0].b64_json or "")) == (64, 64)


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("unauthorized", "AuthenticationError", "invalid_api_key"),
        ("not_verified", "PermissionDeniedError", None),
        ("insufficient_quota", "RateLimitError", "insufficient_quota"),
        ("throttled", "RateLimitError", "rate_limit_exceeded"),
        ("moderation_prompt", "BadRequestError", "moderation_blocked"),
        ("server_error", "InternalServerError", None),
        ("overloaded_html", "InternalServerError", None),
        ("drop_after", "APIConnectionError", None),
    ],
)
async def test_openai_raises_its_errors(
    fault: str, error: str, code: str | None, images: tuple[OpenAIImages, openai.AsyncOpenAI]
) -> None:
    """The class that its client has for each, with the code."""
    import openai  # noqa: PLC0415  see above

    service, client = images
    service.break_(fault)
    with pytest.raises(openai.APIError) as caught:
        await client.images.generate(model="gpt-image-1.5", prompt="a fox")
    assert type(caught.value).__name__ == error
    assert caught.value.code == code


async def test_openai_edits_a_picture(images: tuple[OpenAIImages, openai.AsyncOpenAI]) -> None:
    """Its client sends the same form that we do, and reads the tokens of the picture it starts from."""
    service, client = images
    start, read = ("a.png", png(), "image/png"), ("a.png", "image/png", png())
    answer = await client.images.edit(model="gpt-image-1.5", prompt="a fox", image=start, mask=start)
    assert answer.data is not None
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == IMAGE_TOKENS
    assert measure_size(base64.b64decode(answer.data[0].b64_json or ""))
    [body] = service.created
    assert (body["image"], body["mask"], body["n"]) == (read, read, 1)


async def test_openai_raises_the_errors_of_an_edit(images: tuple[OpenAIImages, openai.AsyncOpenAI]) -> None:
    """As those of a generation."""
    import openai  # noqa: PLC0415  see above

    service, client = images
    service.break_("moderation_prompt")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.images.edit(model="gpt-image-1.5", prompt="a fox", image=("a.png", png(), "image/png"))
    assert caught.value.code == "moderation_blocked"


@pytest.fixture
async def batches() -> AsyncIterator[tuple[OpenAIBatches, openai.AsyncOpenAI]]:
    """The Batch API and OpenAI's client for it."""
    import openai  # noqa: PLC0415  see above

    service = OpenAIBatches()
    async with (
        serving(service) as url,
        openai.AsyncOpenAI(api_key=service.key, base_url=f"{url}/v1", max_retries=0) as client,
    ):
        yield service, client


async def test_openai_runs_a_batch(batches: tuple[OpenAIBatches, openai.AsyncOpenAI]) -> None:
    """It stores the file, creates the batch, sees its states, and reads a picture out of the output."""
    _, client = batches
    body = {"model": "gpt-image-1.5", "prompt": "a fox", "size": "1024x1024"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": body}
    file = await client.files.create(file=("a.jsonl", json.dumps(line).encode()), purpose="batch")
    created = await client.batches.create(
        input_file_id=file.id, endpoint="/v1/images/generations", completion_window="24h", metadata={"imagen": "x"}
    )
    states = [(await client.batches.retrieve(created.id)).status for _ in range(2)]
    assert (created.status, states) == ("validating", ["in_progress", "completed"])
    ended = await client.batches.retrieve(created.id)
    output = json.loads((await client.files.content(ended.output_file_id or "")).content)
    picture = output["response"]["body"]["data"][0]["b64_json"]
    assert (output["custom_id"], measure_size(base64.b64decode(picture))) == ("a", (64, 64))


async def test_openai_pages_through_batches(batches: tuple[OpenAIBatches, openai.AsyncOpenAI]) -> None:
    """The newest first, by their metadata."""
    service, client = batches
    file_id = service.stored(b"", "empty")["id"]
    for number in range(25):
        await client.batches.create(
            input_file_id=file_id,
            endpoint="/v1/images/generations",
            completion_window="24h",
            metadata={"imagen": str(number)},
        )
    marks = [batch.metadata["imagen"] async for batch in client.batches.list(limit=10) if batch.metadata]
    assert marks == [str(number) for number in reversed(range(25))]


async def test_openai_cancels_a_batch(batches: tuple[OpenAIBatches, openai.AsyncOpenAI]) -> None:
    """The answer says so."""
    service, client = batches
    file_id = service.stored(b"", "empty")["id"]
    created = await client.batches.create(
        input_file_id=file_id, endpoint="/v1/images/generations", completion_window="24h"
    )
    assert (await client.batches.cancel(created.id)).status == "cancelled"


@pytest.fixture
async def queue(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[FalQueue, fal_client.AsyncClient]]:
    """The queue and fal's client for it, which knows the real address only."""
    service = FalQueue()
    async with serving(service) as url:
        monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{url}/")
        client = fal_client.AsyncClient(key=service.key)
        yield service, client
        await (await client._client).aclose()


async def test_fal_submits_and_waits(queue: tuple[FalQueue, fal_client.AsyncClient]) -> None:
    """It reads the states and the result."""
    service, client = queue
    handle = await client.submit(MODEL, {"prompt": "a fox", "image_size": {"width": 64, "height": 48}})
    states = [state async for state in handle.iter_events(interval=0.01)]
    assert isinstance(states[0], fal_client.Queued)
    assert isinstance(states[-1], fal_client.Completed)
    assert states[-1].metrics == {"inference_time": 0.25}
    assert (await handle.get())["images"][0]["width"] == 64
    again = await client.result(MODEL, handle.request_id)
    assert again["images"][0]["url"].startswith(service.url)


async def test_fal_cancels(queue: tuple[FalQueue, fal_client.AsyncClient]) -> None:
    """What waits in the queue."""
    service, client = queue
    handle = await client.submit(MODEL, {"prompt": "a fox"})
    await handle.cancel()
    assert service.cancelled == [handle.request_id]


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("content_policy", 422, None),
        ("runner_error", 503, "runner_disconnected"),
        ("start_timeout", 504, "startup_timeout"),
    ],
)
async def test_fal_raises_the_error_of_a_result(
    fault: str, status: int, kind: str | None, queue: tuple[FalQueue, fal_client.AsyncClient]
) -> None:
    """With its status and type."""
    service, client = queue
    service.break_(fault)
    handle = await client.submit(MODEL, {"prompt": "a fox"})
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        await handle.get(interval=0.01)
    assert (caught.value.status_code, caught.value.error_type) == (status, kind)


async def test_fal_raises_where_the_account_is_locked(queue: tuple[FalQueue, fal_client.AsyncClient]) -> None:
    """As 403."""
    service, client = queue
    service.break_("locked")
    with pytest.raises(fal_client.FalClientHTTPError, match="Exhausted balance"):
        await client.submit(MODEL, {"prompt": "a fox"})
