"""The whole way against an API that is only described: nothing is paid for twice, whatever it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.http_api import lost_creates
from tasks.core.clock import Clock
from tasks.core.errors import Throttled
from tasks.core.records import Prediction
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.fakes.backends import EVERYTHING, batch_at, generate, make_instance_job, open_backend
from tests.support.fakes.json_api import JsonApi, at_once, lookup, polled
from tests.support.fakes.serving import serving
from tests.support.scripted_batch import ledger

HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 100))


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JsonApi]:
    """The service, and its key where the instances look for it."""
    service = JsonApi()
    monkeypatch.setenv("ANY_KEY", service.key)
    monkeypatch.setattr(lost_creates, "REPEAT_PAUSE_S", 0.01)
    async with serving(service):
        yield service


async def run(out: Path, instance: dict[str, Any], jobs: int = 3) -> Any:
    """Generate so many jobs and count."""
    return await generate(out, instance, [make_instance_job(instance, number) for number in range(jobs)], clock=HASTY)


@pytest.mark.parametrize("kind", ["raw", "base64", "url"])
async def test_a_picture_in_the_answer(kind: str, out: Path, provider: JsonApi) -> None:
    """As bytes, as base64 or as an address; the key goes to the API alone; types are kept, what is not there left out."""
    counts = await run(out, at_once(provider.url, kind))
    assert (counts.succeeded, counts.cost_micros, provider.key_leaks) == (3, 60_000, 0)
    assert set(provider.created[0]) == {"text", "seed", "options"}
    assert isinstance(provider.created[0]["seed"], int)


async def test_a_task_that_is_polled(out: Path, provider: JsonApi) -> None:
    """Created once, looked at until it is ready, fetched."""
    counts = await run(out, polled(provider.url), 20)
    assert (counts.succeeded, len(provider.created)) == (20, 20)
    assert provider.requests["poll"] <= 20 * 4


async def test_a_result_of_its_own_call(out: Path, provider: JsonApi) -> None:
    """Where the poll says the state only, and another call gives the bytes."""
    result = {"url": f"{provider.url}/v2/tasks/{{id}}/picture", "headers": {"X-Key": "{env:ANY_KEY}"}}
    counts = await run(out, polled(provider.url, result=result, output={"kind": "bytes"}))
    assert counts.succeeded == 3


async def test_the_price_that_the_answer_says(out: Path, provider: JsonApi) -> None:
    """It wins over the configured one."""
    counts = await run(out, polled(provider.url, cost="/price"))
    assert counts.cost_micros == 3 * 12_500
    assert ledger(out, "SELECT DISTINCT cost_source FROM attempts") == [("reported",)]


@pytest.mark.parametrize("price", [float("inf"), -1.0])
async def test_what_is_no_price_is_not_taken_for_one(price: float, out: Path, provider: JsonApi) -> None:
    """It would give the budget money back, or lose the picture; the configured price stands."""
    provider.price = price
    counts = await run(out, polled(provider.url, cost="/price"))
    assert (counts.succeeded, counts.cost_micros) == (3, 60_000)


async def test_an_address_without_a_host_is_the_services(out: Path, provider: JsonApi) -> None:
    """As `/files/1.png`: the picture is paid for."""
    provider.without_host = True
    counts = await run(out, polled(provider.url))
    assert (counts.succeeded, provider.key_leaks) == (3, 0)


async def test_a_row_s_own_options_are_merged_where_the_configuration_says(out: Path, provider: JsonApi) -> None:
    """They win over the template, and null takes an input away."""
    instance = at_once(provider.url, "raw", opts_at="/options")
    job = make_instance_job(instance, steps=4, backend_opts={"cfg": 3.5, "steps": None})
    await generate(out, instance, [job])
    assert provider.created[0]["options"] == {"cfg": 3.5}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        *((fault, kind) for fault in ("drop_before", "drop_after", "server_error") for kind in ("at once", "polled")),
        ("not_json", "polled"),
    ],
)
async def test_without_a_look_up_what_was_not_answered_is_held(
    fault: str, kind: str, out: Path, provider: JsonApi
) -> None:
    """One create, whatever came of it, and no other in this run or the next."""
    instance = at_once(provider.url, "base64") if kind == "at once" else polled(provider.url)
    provider.break_(fault, 1)
    counts, again = await run(out, instance, 1), await run(out, instance, 1)
    assert (counts.held, again.held, provider.requests["create"]) == (1, 1, 1)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "server_error", "no_id"])
async def test_with_a_look_up_it_is_found_or_sent_again(fault: str, out: Path, provider: JsonApi) -> None:
    """One task for each job, by a list that lags."""
    provider.break_(fault, 2)
    provider.break_("list_lag", 1)
    counts = await run(out, polled(provider.url, find=lookup(provider.url)), 4)
    assert (counts.succeeded, len(provider.created)) == (4, 4)


PAGES: dict[str, tuple[str, dict[str, Any], int]] = {
    "marks": ("?page={page}", {"job": "/of", "next": "/more"}, 0),
    "addresses": ("?page=0", {"job": "/of", "next": "/link"}, 0),
    "without next": ("?page=0", {"job": "/of"}, 1),
    "everybody's": ("", {}, 1),
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_list_of_pages_is_read_to_its_end(name: str, out: Path, provider: JsonApi) -> None:
    """The lost task is on a later page; a page that breaks is asked for again by itself, and a part proves nothing."""
    query, settings, held = PAGES[name]
    instance = polled(provider.url)
    find = {**lookup(provider.url), "url": f"{provider.url}/v2/tasks{query}", "patience_s": 0.0, **settings}
    provider.tasks = {f"other-{number}": {"id": f"other-{number}", "body": {"reference": "x"}} for number in range(3)}
    provider.break_("drop_after", 1)
    provider.break_("page_error", 2)
    counts = await run(out, {**instance, "find": find}, 1)
    assert (counts.succeeded, counts.held, len(provider.created)) == (1 - held, held, 1)
    if not held:
        assert [provider.requests[f"page {number}"] for number in range(4)] == [1, 3, 1, 1]


async def test_a_look_up_without_an_answer_holds(out: Path, provider: JsonApi) -> None:
    """Nobody knows, so nothing is sent again."""
    provider.break_("drop_after", 1)
    provider.break_("list_error")
    counts = await run(out, polled(provider.url, find=lookup(provider.url)), 1)
    assert (counts.held, len(provider.created)) == (1, 1)


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "server_error"])
async def test_under_an_idempotency_key_the_same_create_is_repeated(fault: str, out: Path, provider: JsonApi) -> None:
    """The service makes one task of both."""
    provider.break_(fault, 2)
    counts = await run(out, polled(provider.url, idempotency_header="Idempotency-Key"), 1)
    assert (counts.succeeded, len(provider.created)) == (1, 1)
    assert provider.requests["create"] == 3


@pytest.mark.parametrize(
    "told_by", [{"idempotency_header": "Idempotency-Key"}, {"find": {}}], ids=["idempotency key", "look-up by job"]
)
async def test_two_folders_of_one_manifest_share_no_task(
    told_by: dict[str, Any], tmp_path: Path, provider: JsonApi
) -> None:
    """Equal jobs on one account with lost answers: each folder has tasks of its own, and each was made once."""
    instance = polled(provider.url, **({"find": lookup(provider.url)} if "find" in told_by else told_by))
    provider.break_("drop_after", 5)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    jobs = [make_instance_job(instance, number) for number in range(4)]
    counts = await asyncio.gather(*(generate(folder, instance, jobs, clock=HASTY) for folder in folders))
    ids = [{row[0] for row in ledger(folder, "SELECT prediction_id FROM attempts")} for folder in folders]
    assert [count.succeeded for count in counts] == [4, 4]
    assert (len(ids[0] | ids[1]), len(provider.created)) == (8, 8)


async def test_a_refused_repetition_says_nothing_of_the_first_create(out: Path, provider: JsonApi) -> None:
    """It may have been made and billed: held, not failed at no cost."""
    provider.break_("drop_after", 1)
    instance = polled(provider.url, idempotency_header="Idempotency-Key")
    async with batch_at(out, instance, [make_instance_job(instance)], clock=HASTY) as batch:
        running = asyncio.create_task(generate_range(batch, *EVERYTHING))
        while not provider.created:
            await asyncio.sleep(0)
        provider.break_("invalid")
        await running
        counts = await count_jobs(batch.engine)
    assert (counts.held, counts.cost_unknown, len(provider.created)) == (1, 1, 1)


async def test_after_a_kill_an_idempotency_key_is_not_relied_on(out: Path, provider: JsonApi) -> None:
    """The next run would send another attempt's key: the job is held."""
    instance = polled(provider.url, idempotency_header="Idempotency-Key")
    job = make_instance_job(instance)
    async with batch_at(out, instance, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=20_000, now_us=batch.clock.now_us())
    assert (await generate(out, instance, [job])).held == 1
    assert provider.created == []


@pytest.mark.parametrize("was_created", [True, False])
async def test_a_key_that_lasts_is_repeated_after_a_kill(
    was_created: bool,  # noqa: FBT001  a case
    out: Path,
    provider: JsonApi,
) -> None:
    """One prediction, whether the create had arrived or not; the key is that of the attempt that was interrupted."""
    instance = polled(provider.url, idempotency_header="Idempotency-Key", idempotency_lasts_s=86_400)
    job = make_instance_job(instance)
    async with batch_at(out, instance, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=20_000, now_us=batch.clock.now_us())
        if was_created:
            await batch.backend("api").submit(job, attempt=1)
    counts = await generate(out, instance, [job], clock=HASTY)
    assert (counts.succeeded, counts.cost_micros, len(provider.created)) == (1, 20_000, 1)


async def test_a_key_that_may_be_forgotten_is_not_repeated(out: Path, provider: JsonApi) -> None:
    """Past half of the time that the service remembers it, or with a clock set back, the job is held."""
    instance = polled(provider.url, idempotency_header="Idempotency-Key", idempotency_lasts_s=600)
    for number, age_s in enumerate((400, -600)):
        job = make_instance_job(instance, number)
        (out / str(number)).mkdir(parents=True)
        async with batch_at(out / str(number), instance, [job]) as batch:
            begun_us = batch.clock.now_us() - age_s * 1_000_000
            await batch.journal.record_intent(job, number=1, reserved_micros=20_000, now_us=begun_us)
        assert (await generate(out / str(number), instance, [job])).held == 1
    assert provider.created == []


REASONS = {
    "invalid": ("invalid", 0),
    "flagged": ("moderation", 0),
    "task_failed": ("failed", 2),
    "task_flagged": ("moderation", 2),
    "task_passing": ("transient", 2),
    "task_forgotten": ("output_gone", 2),
}
"""Faults that two jobs do not survive: the kind of error, and how many tasks were made, whose cost is unknown then."""


@pytest.mark.parametrize("fault", REASONS)
async def test_ends_without_a_picture(
    fault: str, out: Path, provider: JsonApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed with their kind; what one that failed costs is unknown, so it is not tried again."""
    # The patience with a new task that its service does not know yet; the rule is what comes after it.
    monkeypatch.setattr("tasks.backends.http_api.outputs.UNKNOWN_S", 0.5)
    kind, made = REASONS[fault]
    provider.break_(fault)
    counts = await run(out, polled(provider.url), 2)
    assert (dict(counts.errors), counts.cost_unknown, len(provider.created)) == ({kind: 2}, made, made)


@pytest.mark.parametrize(("fault", "kind"), [("no_output", "polled"), ("no_output", "base64"), ("not_json", "base64")])
async def test_a_paid_answer_without_an_image_costs_its_price_once(
    fault: str, kind: str, out: Path, provider: JsonApi
) -> None:
    """The whole answer came, so its price is known; it is kept, and nothing is paid again by itself."""
    instance = polled(provider.url) if kind == "polled" else at_once(provider.url, kind)
    provider.break_(fault)
    counts, again = await run(out, instance, 1), await run(out, instance, 1)
    assert (dict(counts.errors), counts.cost_micros, counts.cost_unknown) == ({"unreadable_answer": 1}, 20_000, 0)
    assert (again.succeeded, len(provider.created)) == (0, 1)


async def test_a_passing_failure_that_is_free_is_tried_again(out: Path, provider: JsonApi) -> None:
    """`failures_are_free` says so."""
    provider.break_("task_passing", 1)
    counts = await run(out, polled(provider.url, failures_are_free=True), 1)
    assert (counts.succeeded, counts.cost_micros, len(provider.created)) == (1, 20_000, 2)


async def test_one_that_takes_too_long_is_cancelled(out: Path, provider: JsonApi) -> None:
    """It may have cost something."""
    provider.break_("task_stuck")
    counts = await run(out, polled(provider.url, timeout_s=0.5), 1)
    assert (dict(counts.errors), counts.cost_unknown, provider.cancelled) == ({"timeout": 1}, 1, ["task-1"])


async def test_trouble_with_polls_is_waited_out(out: Path, provider: JsonApi) -> None:
    """It says nothing about the task."""
    provider.break_("poll_error", 1)
    assert (await run(out, polled(provider.url), 1)).succeeded == 1


@pytest.mark.parametrize(("fault", "reason"), [("unauthorized", "token"), ("no_credit", "credit")])
async def test_what_concerns_the_account_stops_the_batch(fault: str, reason: str, out: Path, provider: JsonApi) -> None:
    """Resumable, and nobody's job is failed for it."""
    provider.break_(fault)
    instance = polled(provider.url)
    async with batch_at(out, instance, [make_instance_job(instance)]) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == reason
        assert (await count_jobs(batch.engine)).failed == 0


async def test_a_429_says_when_to_come_again(provider: JsonApi) -> None:
    """By its header."""
    provider.break_("throttled")
    backend = open_backend(polled(provider.url))
    with pytest.raises(Throttled) as caught:
        await backend.submit(make_instance_job(polled(provider.url)), attempt=1)
    await backend.close()
    assert caught.value.retry_after_s == 7.0


async def test_a_task_is_waited_for_from_its_id_alone(provider: JsonApi) -> None:
    """As after a restart."""
    instance = polled(provider.url)
    first, second = open_backend(instance), open_backend(instance)
    job = make_instance_job(instance)
    sent = await first.submit(job, attempt=1)
    ended = await second.wait(job, Prediction(prediction_id=sent.prediction_id))
    assert len(await second.fetch(job, ended)) > 100
    await first.close()
    await second.close()
    assert len(provider.created) == 1


async def test_an_entry_that_cannot_be_read_proves_nothing(out: Path, provider: JsonApi) -> None:
    """A look-up whose entry has no readable id may show the lost prediction: the job is held, and not paid for again."""
    provider.break_("drop_after", 1)
    settings = {**lookup(provider.url), "id": "/no/such/place"}
    counts = await run(out, polled(provider.url, find=settings), 1)
    assert (counts.held, len(provider.created)) == (1, 1)
