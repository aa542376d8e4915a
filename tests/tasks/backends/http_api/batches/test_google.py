"""Gemini's batches: half the price, days if need be, and nothing paid for twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.backends import build_backend
from tasks.backends.client.batches import desk
from tasks.core.clock import Clock
from tasks.core.errors import ConfigError
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.fakes.backends import (
    EVERYTHING,
    NAME,
    batch_at,
    build_settings,
    generate,
    make_instance_job,
    open_backend,
)
from tests.support.fakes.gemini_batches import GeminiBatches, instance
from tests.support.fakes.named_service import build_instance
from tests.support.fakes.service_shapes import GEMINI_MICROS
from tests.support.fakes.serving import serving
from tests.support.scripted_batch import ledger
from tests.support.waiting import PATIENCE_S

SLOWER = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 5))
HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 1_000))
COST_MICROS = round(GEMINI_MICROS / 2)


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GeminiBatches]:
    """The service, and its key where the backend looks for it."""
    service = GeminiBatches()
    monkeypatch.setenv("GEMINI_API_KEY", service.key)
    monkeypatch.setattr(desk, "LOOKUP_PATIENCE_S", 0.5)
    async with serving(service):
        yield service


def list_jobs(chosen: dict[str, Any], count: int) -> list[Any]:
    """So many jobs, each of a shape."""
    return [make_instance_job(chosen, number, width=1600, height=900) for number in range(count)]


async def test_jobs_go_in_batches_at_half_the_price(out: Path, provider: GeminiBatches) -> None:
    """Each line is the whole body of a single call, its aspect ratio where it counts; text before the image is no end."""
    chosen = instance(provider.url)
    # Two seconds here: on a busy machine the jobs of one batch come further apart than a moment.
    chosen["batches"] |= {"jobs": 4, "quiet_s": 10.0}
    counts = await generate(out, chosen, list_jobs(chosen, 10), clock=SLOWER)
    assert (counts.succeeded, counts.cost_micros, counts.cost_unknown) == (10, 10 * COST_MICROS, 0)
    assert sorted(len(batch["lines"]) for batch in provider.batches.values()) == [2, 4, 4]
    assert len(ledger(out, "SELECT DISTINCT sha256 FROM jobs")) == 10
    assert {made["generationConfig"]["imageConfig"]["aspectRatio"] for made in provider.created} == {"16:9"}


@pytest.mark.parametrize(
    "fault", ["batch_drop_before", "batch_drop_after", "batch_not_json", "upload_error", "poll_error"]
)
async def test_what_was_not_answered_is_found_or_made_once(fault: str, out: Path, provider: GeminiBatches) -> None:
    """By the batch's own name in the list; a file and a look cost nothing."""
    provider.break_(fault, 1)
    chosen = instance(provider.url)
    counts = await generate(out, chosen, list_jobs(chosen, 3), clock=SLOWER)
    assert (counts.succeeded, len(provider.created)) == (3, 3)


@pytest.mark.parametrize(("fault", "succeeded", "held"), [("", 3, 0), ("batch_expires", 0, 3)])
async def test_a_batch_of_a_killed_run_is_known_by_its_lines(
    fault: str, succeeded: int, held: int, out: Path, provider: GeminiBatches
) -> None:
    """The intents are in the ledger, the id is not: the next run waits for the batch and finds its jobs in the results.

    A batch without results proves nothing, and its jobs are held.
    """
    if fault:
        provider.break_(fault)
    chosen = instance(provider.url)
    jobs = list_jobs(chosen, 3)
    async with batch_at(out, chosen, jobs) as batch:
        for job in jobs:
            await batch.journal.record_intent(job, number=1, reserved_micros=9_000, now_us=batch.clock.now_us())
        await asyncio.gather(*(batch.backend("api").submit(job, attempt=1) for job in jobs))
    counts = await generate(out, chosen, jobs, clock=SLOWER)
    assert (counts.succeeded, counts.held, len(provider.created), len(provider.batches)) == (succeeded, held, 3, 1)


async def test_another_model_s_batch_is_not_waited_for(provider: GeminiBatches) -> None:
    """Instances of one account share what they have sent: a running batch of one tells the other's look-up its lines."""
    provider.looks = 10**6
    shared: dict[str, Any] = {}
    models = [instance(provider.url), instance(provider.url, model="gemini-3-pro-image-preview")]
    first, second = (build_backend(NAME, build_settings(chosen), batch="a" * 32, shared=shared) for chosen in models)
    jobs = [make_instance_job(chosen, number, width=1600, height=900) for number, chosen in enumerate(models)]
    begin = datetime.now(UTC)
    await second.submit(jobs[1], attempt=1)
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert await first.find(jobs[0], since=begin, known=()) is None
    finally:
        await first.close()
        await second.close()


async def test_a_run_that_ends_early_leaves_its_batches_to_the_next_one(out: Path, provider: GeminiBatches) -> None:
    """For days: the ids are in the ledger."""
    provider.looks = 10**6
    chosen = instance(provider.url)
    jobs = list_jobs(chosen, 4)
    async with batch_at(out, chosen, jobs) as batch:
        running = asyncio.create_task(generate_range(batch, *EVERYTHING))
        while not provider.requests["get"] or (await count_jobs(batch.engine)).submitted < len(jobs):
            await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert ledger(out, "SELECT state, count(*) FROM jobs GROUP BY state") == [("submitted", 4)]
    for known in provider.batches.values():
        known["looks"] = 0
    counts = await generate(out, chosen, jobs, clock=SLOWER)
    assert (counts.succeeded, len(provider.created)) == (4, 4)


@pytest.mark.parametrize(
    ("fault", "kind", "unknown"),
    [
        ("line_blocked", "moderation", 2),
        ("line_text", "failed", 2),
        ("line_error", "invalid", 0),
        ("batch_fails", "invalid", 0),
        ("output_deleted", "output_gone", 2),
        ("upload_elsewhere", "invalid", 0),
        ("batch_expires", "expired", 2),
    ],
)
async def test_ends_without_an_image(fault: str, kind: str, unknown: int, out: Path, provider: GeminiBatches) -> None:
    """Each job with its own end, and a cost where it is known."""
    provider.break_(fault)
    chosen = instance(provider.url)
    counts = await generate(out, chosen, list_jobs(chosen, 2), clock=SLOWER)
    assert (dict(counts.errors), counts.cost_unknown) == ({kind: 2}, unknown)


async def test_passing_failures_go_into_another_batch(out: Path, provider: GeminiBatches) -> None:
    """As the next attempt of their jobs."""
    provider.break_("line_unavailable", 1)
    chosen = instance(provider.url)
    chosen["batches"] |= {"jobs": 2, "quiet_s": 10.0}
    counts = await generate(out, chosen, list_jobs(chosen, 2), clock=SLOWER)
    assert (counts.succeeded, len(provider.batches)) == (2, 2)


async def test_a_list_that_cannot_be_read_holds(out: Path, provider: GeminiBatches) -> None:
    """Nobody knows, so nothing is sent again."""
    provider.break_("batch_drop_after")
    provider.break_("list_error")
    chosen = instance(provider.url)
    counts = await generate(out, chosen, list_jobs(chosen, 2), clock=HASTY)
    assert (counts.held, len(provider.created)) == (2, 2)


@pytest.mark.parametrize(("fault", "reason"), [("unauthorized", "token"), ("batch_no_quota", "credit")])
async def test_a_wrong_key_and_a_used_up_day_stop(fault: str, reason: str, out: Path, provider: GeminiBatches) -> None:
    """No job is failed for either."""
    provider.break_(fault)
    chosen = instance(provider.url)
    async with batch_at(out, chosen, list_jobs(chosen, 2), clock=SLOWER) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == reason
        assert (await count_jobs(batch.engine)).planned == 2


def test_a_service_without_batches_says_so() -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match=r"mode: this service has no batches"):
        open_backend(build_instance("recraft", "http://127.0.0.1:1", mode="batch"))
