"""The stand-ins, checked by the services' own clients: what those take for the real API, they take here too."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from io import BytesIO

import openai
import pytest
from PIL import Image

from tests.providers.openai_images import OUTPUT_TOKENS, OpenAIImages
from tests.providers.serving import serving


def size_of(data: bytes) -> tuple[int, int]:
    """A picture's size in pixels; whole pictures only."""
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image.size


@pytest.fixture
async def images() -> AsyncIterator[tuple[OpenAIImages, openai.AsyncOpenAI]]:
    """The images API and OpenAI's client for it."""
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
    assert size_of(base64.b64decode(answer.data[0].b64_json or "")) == (64, 64)


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("unauthorized", openai.AuthenticationError, "invalid_api_key"),
        ("not_verified", openai.PermissionDeniedError, None),
        ("insufficient_quota", openai.RateLimitError, "insufficient_quota"),
        ("throttled", openai.RateLimitError, "rate_limit_exceeded"),
        ("moderation_prompt", openai.BadRequestError, "moderation_blocked"),
        ("server_error", openai.InternalServerError, None),
        ("overloaded_html", openai.InternalServerError, None),
        ("drop_after", openai.APIConnectionError, None),
    ],
)
async def test_openai_raises_its_errors(
    fault: str, error: type[openai.APIError], code: str | None, images: tuple[OpenAIImages, openai.AsyncOpenAI]
) -> None:
    """The class that its client has for each, with the code."""
    service, client = images
    service.break_(fault)
    with pytest.raises(error) as caught:
        await client.images.generate(model="gpt-image-1.5", prompt="a fox")
    assert caught.value.code == code
