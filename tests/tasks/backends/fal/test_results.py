"""What the result of a request says, however odd it is."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tasks.backends.fal.results import build_failure, find_images, is_flagged, read_megapixels
from tasks.core.errors import JobError, Transient


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        ({"images": [{"url": "a"}, {"url": "b"}]}, ["a", "b"]),
        ({"image": {"url": "a"}}, ["a"]),
        ({"image": "a"}, ["a"]),
        ({"images": [], "image": {"url": "a"}}, ["a"]),
        ({"images": ["a", 7, {"url": None}, {"url": ""}, {}]}, ["a"]),
        ({"images": {"url": "a"}}, []),
        ({}, []),
    ],
)
def test_every_image_of_a_result_is_counted(body: dict[str, Any], urls: list[str]) -> None:
    """All of them are billed; what has no address is none."""
    assert [image["url"] for image in find_images(body)] == urls


@pytest.mark.parametrize(
    ("body", "flagged"),
    [
        ({"has_nsfw_concepts": [True]}, True),
        ({"nsfw_content_detected": [True, False]}, True),
        ({"nsfw_content_detected": True}, True),
        ({"has_nsfw_concepts": [False], "nsfw_content_detected": [False]}, False),
        ({"has_nsfw_concepts": "yes"}, False),
        ({}, False),
    ],
)
def test_both_names_of_the_safety_checker_s_word_are_read(body: dict[str, Any], flagged: bool) -> None:  # noqa: FBT001  a case
    """A black image is a refusal under either."""
    assert is_flagged(body) is flagged


@pytest.mark.parametrize("width", [-5, 0, 10**30, 1e30, float("inf"), float("nan"), True, "1024", None, [1]])
def test_a_size_that_cannot_be_is_no_size(width: Any) -> None:
    """Nothing is priced by it."""
    assert read_megapixels({"width": width, "height": 1024}) is None
    assert read_megapixels({"width": 1000, "height": 1000}) == 1.0


@pytest.mark.parametrize(("header", "error"), [("false", JobError), ("true", Transient), (None, Transient)])
def test_a_failure_that_is_said_to_last_is_not_tried_again(header: str | None, error: type[JobError]) -> None:
    """`X-Fal-Retryable: false` wins over the status."""
    headers = {} if header is None else {"x-fal-retryable": header}
    assert type(build_failure(httpx.Response(503, json={"detail": "x"}, headers=headers), "x")) is error
