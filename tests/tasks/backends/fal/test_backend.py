"""The whole way through fal's queue: nothing is paid for twice, and every end has its kind and its cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.fal.inputs import build_input, find_problems
from tasks.backends.fal.options import FalOptions, get_app
from tasks.core.clock import Clock
from tasks.core.errors import ConfigError
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.fakes.backends import EVERYTHING, batch_at, generate, make_instance_job, open_backend
from tests.support.fakes.fal_queue import FalQueue, instance
from tests.support.fakes.serving import serving

HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 100))
RUSHING = replace(HASTY, monotonic_s=lambda: time.monotonic() * 100)
"""For a time-out that has to come."""
PRICE_MICROS = 3_000


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FalQueue]:
    """The service, and its key where the backend looks for it."""
    service = FalQueue()
    monkeypatch.setenv("FAL_KEY", service.key)
    async with serving(service):
        yield service


async def run(out: Path, provider: FalQueue, jobs: int = 3, clock: Clock = HASTY, **changes: Any) -> Any:
    """Generate so many jobs and count."""
    chosen = instance(provider.url, **changes)
    return await generate(out, chosen, [make_instance_job(chosen, number) for number in range(jobs)], clock=clock)


async def test_a_batch_without_faults(out: Path, provider: FalQueue) -> None:
    """One request and one picture each, priced by the begun megapixel; the key stays with the queue."""
    counts = await run(out, provider, 20)
    assert (counts.succeeded, counts.cost_micros, provider.key_leaks) == (20, 20 * PRICE_MICROS, 0)
    assert (len(provider.created), provider.requests["result"]) == (20, 20)
    assert set(provider.timeouts) == {"300"}


@pytest.mark.parametrize("fault", ["single_image", "status_error", "gateway_result"])
async def test_faults_that_are_survived(fault: str, out: Path, provider: FalQueue) -> None:
    """Trouble on the way to an answer says nothing about the request."""
    provider.break_(fault, 2)
    assert (await run(out, provider)).succeeded == 3
    assert len(provider.created) == 3


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "server_error", "not_json"])
async def test_a_submit_without_an_answer_is_held(fault: str, out: Path, provider: FalQueue) -> None:
    """The queue has no list: one submit, in this run and the next."""
    provider.break_(fault, 1)
    counts, again = await run(out, provider, 1), await run(out, provider, 1)
    assert (counts.held, again.held, provider.requests["submit"]) == (1, 1, 1)


REASONS = {
    "not_found": ("invalid", 0, 0),
    "content_policy": ("moderation", 3, 0),
    "bad_input": ("invalid", 3, 0),
    "nsfw": ("moderation", 0, 3),
    "no_images": ("no_output", 0, 3),
    "forgotten": ("output_gone", 3, 0),
}
"""Faults that three jobs do not survive: their kind, how many have an unknown cost, how many the full one."""


@pytest.mark.parametrize("fault", REASONS)
async def test_ends_without_a_picture(fault: str, out: Path, provider: FalQueue) -> None:
    """Each with its kind; an input that a runner has refused may be billed, so nobody knows what it costs."""
    kind, unknown, paid = REASONS[fault]
    provider.break_(fault)
    counts = await run(out, provider)
    assert (dict(counts.errors), counts.cost_unknown) == ({kind: 3}, unknown)
    assert counts.cost_micros == paid * PRICE_MICROS
    assert len(provider.created) <= 3


@pytest.mark.parametrize("fault", ["runner_error", "start_timeout"])
async def test_failures_of_fal_are_free_and_tried_again(fault: str, out: Path, provider: FalQueue) -> None:
    """Those of 500 and more are never billed."""
    provider.break_(fault, 1)
    counts = await run(out, provider, 1)
    assert (counts.succeeded, counts.cost_micros, len(provider.created)) == (1, PRICE_MICROS, 2)


async def test_one_that_takes_too_long_is_cancelled(out: Path, provider: FalQueue) -> None:
    """It may have cost something."""
    provider.break_("stuck")
    provider.looks = 10**6
    counts = await run(out, provider, 1, RUSHING, timeout_s=5.0)
    assert (dict(counts.errors), counts.cost_unknown, len(provider.cancelled)) == ({"timeout": 1}, 1, 1)


@pytest.mark.parametrize(("fault", "reason"), [("unauthorized", "token"), ("locked", "credit")])
async def test_what_concerns_the_account_stops_the_batch(
    fault: str, reason: str, out: Path, provider: FalQueue
) -> None:
    """Resumable, and nobody's job is failed for it."""
    provider.break_(fault)
    chosen = instance(provider.url)
    async with batch_at(out, chosen, [make_instance_job(chosen)]) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == reason
        assert (await count_jobs(batch.engine)).failed == 0


def test_what_a_job_becomes() -> None:
    """Sizes as the model is told them, and a row's own options last."""
    job = make_instance_job(
        instance(""), width=640, height=480, steps=4, backend_opts={"guidance_scale": 3.5, "seed": None}
    )
    sent = build_input(job, FalOptions())
    assert sent["image_size"] == {"width": 640, "height": 480}
    assert (sent["num_inference_steps"], sent["guidance_scale"], "seed" in sent) == (4, 3.5, False)
    wide = make_instance_job(instance(""), aspect_ratio="16:9")
    assert build_input(wide, FalOptions(size_as="aspect_ratio"))["aspect_ratio"] == "16:9"
    assert build_input(wide, FalOptions())["image_size"] == {"width": 1360, "height": 768}
    assert set(build_input(make_instance_job(instance("")), FalOptions(sends=[]))) == {"prompt"}


@pytest.mark.parametrize(
    ("size", "usual", "most"),
    [
        (None, 1, 2),
        ("landscape_16_9", 1, 1),
        ("square_hd", 2, 2),
        ({"width": 2048, "height": 1024}, 3, 3),
        ("auto_4K", None, None),
    ],
)
def test_a_budget_sets_aside_the_most_that_a_size_can_cost(size: Any, usual: int | None, most: int | None) -> None:
    """By the begun megapixel, also of a size by its name; of a name that is not known here the price is unknown."""
    chosen = instance("http://localhost")
    estimate = open_backend(chosen).estimate(
        make_instance_job(chosen, backend_opts={} if size is None else {"image_size": size})
    )
    assert estimate.cost_micros == (usual and usual * PRICE_MICROS)
    assert estimate.most_micros == (most and most * PRICE_MICROS)


def test_what_cannot_be_sent_is_a_problem() -> None:
    """By its input."""
    sized = make_instance_job(instance(""), width=640, height=480)
    assert find_problems(sized, FalOptions()) == []
    assert find_problems(sized, FalOptions(size_as="none"))[0].startswith("size: ")
    assert find_problems(sized, FalOptions(size_as="aspect_ratio"))[0].startswith("size: ")
    assert find_problems(make_instance_job(instance(""), backend_opts={"num_images": 2}), FalOptions())[0].startswith(
        "num_images: "
    )


@pytest.mark.parametrize("model", ["", "flux", "fal-ai/../x", "a/b?c", "fal-ai/flux schnell"])
def test_a_model_is_an_id(model: str) -> None:
    """It stands in an address, so nothing else passes."""
    with pytest.raises(ConfigError, match=r"backends\.api\.model: .* is not a model"):
        open_backend(instance("http://127.0.0.1:1", model=model))


@pytest.mark.parametrize(
    ("model", "app"),
    [("fal-ai/flux/schnell", "fal-ai/flux"), ("me/app", "me/app"), ("workflows/me/mine/x", "workflows/me/mine")],
)
def test_requests_stand_under_the_app(model: str, app: str) -> None:
    """Not under the path that was submitted to."""
    assert get_app(model) == app
