"""Every image service by name through the engine, against a stand-in of its shape: what becomes of a job in each case.

The columns are those of the table in docs/backends.md; a service that is not in the shapes has no row, and fails here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from tasks.core.clock import Clock
from tasks.core.presets import list_presets, load_preset
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.fakes.backends import EVERYTHING, batch_at, generate, make_instance_job
from tests.support.fakes.named_service import NamedService, build_instance, list_variables
from tests.support.fakes.serving import serving
from tests.support.scripted_batch import ledger

HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 1_000))
PAID = [name for name in list_presets() if load_preset(name).key]
POLLED = {name for name in list_presets() if "poll" in load_preset(name).instance}
KEYED = {name for name in list_presets() if "idempotency_lasts_s" in load_preset(name).instance}
UNPRICED_USD = 0.02
"""The user's price where neither the service nor its page states one."""
REFUSALS = {"a1111", "swarmui"}
"""They refuse nothing."""


KIND = ("poll", "find", "before", "idempotency_lasts_s")
"""Parts of a description that one service has and another does not, and that the engine goes by."""


def mark_repetitions() -> Iterator[ParameterSet]:
    """Every service; of several that are described by the same parts the first alone belongs to the quick tests."""
    seen = set()
    for name in list_presets():
        preset = load_preset(name)
        kind = (preset.instance["type"], bool(preset.key), *(part in preset.instance for part in KIND))
        yield pytest.param(name, id=name, marks=[pytest.mark.soak] if kind in seen else [])
        seen.add(kind)


@pytest.fixture(params=mark_repetitions())
async def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NamedService]:
    """One service after the other."""
    provider = NamedService(name=request.param)
    for name in list_variables():
        monkeypatch.setenv(name, provider.key)
    async with serving(provider):
        yield provider


def choose_instance(service: NamedService, **changes: Any) -> dict[str, Any]:
    """The instance as a user has it, who sets a price where nobody states one."""
    if service.name in PAID and not service.shape.micros:
        changes = {"price_usd": UNPRICED_USD, **changes}
    return build_instance(service.name, service.url, max_attempts=2, **changes)


def expected_micros(service: NamedService) -> int:
    """The cost of one image: as billed, or at the user's price."""
    return service.shape.micros or (round(UNPRICED_USD * 1e6) if service.name in PAID else 0)


async def test_an_image_comes_through_at_the_cost_that_is_billed(service: NamedService, out: Path) -> None:
    """With its key and its prompt, and no key goes to where the image is."""
    instance = choose_instance(service)
    jobs = [make_instance_job(instance, number, width=1024, height=1024) for number in range(3)]
    counts = await generate(out, instance, jobs, clock=HASTY)
    assert (counts.succeeded, counts.cost_unknown, dict(counts.errors)) == (3, 0, {})
    assert counts.cost_micros == 3 * expected_micros(service)
    assert not service.shape.micros or counts.cost_micros == service.billed_micros
    assert all("a picture of number" in made["body"] for made in service.created)
    assert service.key_leaks == 0


async def test_a_refused_prompt_is_told_apart(service: NamedService, out: Path) -> None:
    """It is never sent again by itself; what it costs is what is billed, or not known, but never too little."""
    if service.name in REFUSALS:
        pytest.skip("it refuses nothing")
    service.break_("refused", 1)
    instance = choose_instance(service)
    counts = await generate(out, instance, [make_instance_job(instance)], clock=HASTY)
    assert dict(counts.errors) == {"moderation": 1}
    assert service.requests["create"] == 1
    assert counts.cost_unknown or counts.cost_micros >= service.billed_micros


async def test_a_wrong_key_and_an_empty_account_stop_the_batch(service: NamedService, out: Path) -> None:
    """No job is failed for either, whatever status the service gives it, and a later run goes on."""
    if service.name not in PAID:
        pytest.skip("it needs no key and no credit")
    instance = choose_instance(service)
    jobs = [make_instance_job(instance)]
    # An account that is barred for want of money may be called blocked: that stops the batch too.
    for fault, reasons in (("bad_key", {"token"}), ("no_credit", {"credit", "blocked"})):
        service.break_(fault)
        async with batch_at(out, instance, jobs, clock=HASTY) as batch:
            await generate_range(batch, *EVERYTHING)
            assert batch.stop.cause is not None
            assert batch.stop.cause.reason in reasons
            assert service.key not in str(batch.stop.cause)
            counts = await count_jobs(batch.engine)
        assert (counts.failed, counts.held, service.billed_micros) == (0, 0, 0)
        service.faults.clear()
    assert (await generate(out, instance, jobs, clock=HASTY)).succeeded == 1


async def test_a_lost_create_is_never_paid_twice(service: NamedService, out: Path) -> None:
    """Found by its key, held, or made again where images are free."""
    service.break_("drop_after", 1)
    instance = choose_instance(service)
    counts = await generate(out, instance, [make_instance_job(instance)], clock=HASTY)
    if service.name in PAID and service.name not in KEYED:
        assert (counts.held, counts.cost_unknown, len(service.created)) == (1, 1, 1)
    else:
        assert (counts.succeeded, len(service.created)) == (1, 1 if service.name in KEYED else 2)


async def test_a_killed_run_is_gone_on_with(service: NamedService, out: Path) -> None:
    """What is polled comes; an answer that nobody kept is not paid again by itself."""
    instance = choose_instance(service)
    jobs = [make_instance_job(instance)]
    async with batch_at(out, instance, jobs, clock=HASTY) as batch:
        # The run ends after the answer to its create was written down, and before an image is on disk.
        await batch.journal.record_intent(jobs[0], number=1, reserved_micros=9_000, now_us=batch.clock.now_us())
        sent = await batch.backend("api").submit(jobs[0], attempt=1)
        batch.journal.record_submitted(jobs[0], number=1, prediction=sent, retries=0, now_us=batch.clock.now_us())
    counts = await generate(out, instance, jobs, clock=HASTY)
    assert len(service.created) == 1
    assert ledger(out, "SELECT count(*) FROM attempts") == [(1,)]
    if service.name in POLLED:
        # A cost that only the create's answer states (BFL) is that of the price table now.
        assert counts.succeeded == 1
        assert counts.cost_unknown or counts.cost_micros >= expected_micros(service)
    else:
        assert dict(counts.errors) == {"output_gone": 1}
