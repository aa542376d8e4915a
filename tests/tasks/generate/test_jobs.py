"""One job's way, and above all: what may be paid again, and what may not."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.core.clock import Clock
from tasks.core.errors import (
    Ambiguous,
    BadImage,
    BatchStopped,
    JobError,
    NotCreated,
    Refused,
    Rejected,
    Throttled,
    Transient,
)
from tasks.core.records import EndedFilter, Job, JobState, Prediction
from tasks.core.retry import LOOK_TRIES
from tasks.generate.decisions import REFUSAL_PATIENCE_S
from tasks.generate.jobs import generate_range
from tasks.generate.limits import MOST_IN_MEMORY
from tasks.ledger.jobs import reopen
from tasks.ledger.open_jobs import Selection, list_shards
from tasks.ledger.queries import count_jobs
from tests.support.factories import START_US, FakeClock, make_job, open_batch_with, plan_jobs
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend, picture
from tests.support.scripted_batch import EVERYTHING, ledger, open_scripted, run
from tests.support.waiting import PATIENCE_S


async def test_a_job_ends_with_its_picture_and_its_price(out: Path) -> None:
    """The file is there, measured, and the cost is in the ledger."""
    counts = await run(out, ScriptedBackend(), [make_job()])
    assert (counts.succeeded, counts.cost_micros) == (1, PRICE_MICROS)
    [(file_name, width, attempts)] = ledger(out, "SELECT file_name, width, attempts FROM jobs")
    assert (out / str(file_name)).is_file()
    assert (width, attempts) == (32, 1)


async def test_the_intent_is_on_disk_before_the_paid_call(out: Path) -> None:
    """Whatever kills the process during the call, the ledger knows that it may have been paid."""
    seen: list[tuple[object, ...]] = []
    backend = ScriptedBackend(before_submit=lambda _: seen.extend(ledger(out, "SELECT state FROM jobs")))
    await run(out, backend, [make_job()])
    assert seen == [("submitting",)]


@pytest.mark.parametrize("error", [NotCreated("refused"), NotCreated("refused", kind="unreachable")])
async def test_what_was_not_created_is_sent_again(out: Path, error: NotCreated) -> None:
    """Proof of non-creation makes the same attempt leave again: one bill, one attempt."""
    backend = ScriptedBackend()
    backend.on_submit["row-0"] = deque([error])
    counts = await run(out, backend, [make_job()])
    assert counts.succeeded == 1
    assert list(backend.billed.values()) == [1]
    assert ledger(out, "SELECT number, submit_retries FROM attempts") == [(1, 1)]


async def test_a_lost_answer_is_looked_up_and_adopted(out: Path) -> None:
    """A create whose answer was lost after creation is found and never paid again."""
    backend = ScriptedBackend(created_anyway={"row-0"})
    backend.on_submit["row-0"] = deque([Ambiguous("dropped")])
    counts = await run(out, backend, [make_job()])
    assert counts.succeeded == 1
    assert list(backend.billed.values()) == [1]
    assert (backend.calls["submit"], backend.calls["find"]) == (1, 1)


async def test_a_lost_request_is_looked_up_and_sent_again(out: Path) -> None:
    """A create that never arrived is sent again only after the look-up said so."""
    backend = ScriptedBackend()
    backend.on_submit["row-0"] = deque([Ambiguous("dropped")])
    counts = await run(out, backend, [make_job()])
    assert counts.succeeded == 1
    assert list(backend.billed.values()) == [1]
    assert (backend.calls["submit"], backend.calls["find"]) == (2, 1)


async def test_what_cannot_be_told_is_held(out: Path) -> None:
    """A job that may have been paid for and cannot be found is never paid again by itself, and says how it was lost."""

    def cannot_tell(_: Job) -> None:
        raise Ambiguous("two predictions match", cost_micros=None)

    backend = ScriptedBackend(created_anyway={"row-0"}, on_find=cannot_tell)
    backend.on_submit["row-0"] = deque([Ambiguous("dropped")])
    counts = await run(out, backend, [make_job()])
    assert (counts.held, counts.cost_unknown) == (1, 1)
    assert ledger(out, "SELECT error_message FROM jobs") == [("dropped; two predictions match",)]
    again = ScriptedBackend()
    assert (await run(out, again, [make_job()])).held == 1
    assert again.calls["submit"] == 0


async def test_a_lost_request_is_not_sent_again_while_the_batch_drains(out: Path) -> None:
    """Ctrl-C between a lost create and its second sending: nothing new is created, and the job stays open."""
    backend = ScriptedBackend()
    backend.on_submit["row-0"] = deque([Ambiguous("dropped")])
    async with open_scripted(out, backend, [make_job()]) as batch:

        def drain(_: Job) -> None:
            batch.stop.drain()

        backend.before_submit = drain
        await generate_range(batch, *EVERYTHING)
    assert (backend.calls["submit"], backend.calls["find"]) == (1, 1)
    assert ledger(out, "SELECT state, cost_micros FROM attempts") == [("failed", 0)]
    assert (await run(out, ScriptedBackend(), [make_job()])).succeeded == 1


@pytest.mark.parametrize("created", [1, 0])
async def test_what_was_in_flight_when_its_row_left_is_collected_and_not_sent(out: Path, created: int) -> None:
    """A kill in the middle of a create, then an edited manifest: what was paid for is fetched, and nothing is paid for a row that is gone."""
    gone, backend = make_job(0), ScriptedBackend()
    async with open_scripted(out, backend, [gone]) as batch:
        await batch.journal.record_intent(gone, number=1, reserved_micros=PRICE_MICROS, now_us=START_US)
    backend.billed[gone.job_id] = created
    async with open_scripted(out, backend, []) as batch:
        await plan_jobs(batch.engine, [], run=2)
        await generate_range(batch, *EVERYTHING)
        assert (await count_jobs(batch.engine)).total == 0
    assert (backend.calls["find"], backend.calls["submit"]) == (1, 0)
    state = "succeeded" if created else "planned"
    assert ledger(out, "SELECT state, withdrawn FROM jobs") == [(state, 1)]
    assert (await run(out, backend, [gone])).succeeded == 1
    assert backend.billed[gone.job_id] == 1


async def test_a_failure_that_cost_nothing_is_not_tried_again_for_a_row_that_left(out: Path) -> None:
    """It was collected for its money's sake; another attempt would be for nobody."""
    gone, backend = make_job(0), ScriptedBackend()
    async with open_scripted(out, backend, [gone]) as batch:
        await batch.journal.record_intent(gone, number=1, reserved_micros=PRICE_MICROS, now_us=START_US)
    backend.billed[gone.job_id] = 1
    backend.on_wait["row-0"] = deque([Transient("interrupted")])
    async with open_scripted(out, backend, []) as batch:
        await plan_jobs(batch.engine, [], run=2)
        await generate_range(batch, *EVERYTHING)
    assert backend.calls["submit"] == 0
    assert ledger(out, "SELECT state, withdrawn FROM jobs") == [("planned", 1)]


async def test_a_backend_that_breaks_in_a_paid_call_is_ambiguous(out: Path) -> None:
    """A bug in a plugin's submit is treated like a lost answer: looked up, not paid again."""
    backend = ScriptedBackend(created_anyway={"row-0"})
    backend.on_submit["row-0"] = deque([KeyError("id")])
    counts = await run(out, backend, [make_job()])
    assert counts.succeeded == 1
    assert list(backend.billed.values()) == [1]


@pytest.mark.parametrize("error", [KeyError("id"), Transient("the list is away")])
async def test_a_look_up_that_breaks_holds(out: Path, error: Exception) -> None:
    """It has not said that there is none: nothing is paid again, and the other jobs go on."""

    def broken(_: Job) -> None:
        raise error

    backend = ScriptedBackend(created_anyway={"row-0"}, on_find=broken)
    backend.on_submit["row-0"] = deque([Ambiguous("dropped")])
    counts = await run(out, backend, [make_job(0), make_job(1)])
    assert (counts.held, counts.cost_unknown, counts.succeeded) == (1, 1, 1)
    assert backend.calls["submit"] == 2


async def test_a_wait_that_ends_with_an_error_of_fetching_fails_the_job_alone(out: Path) -> None:
    """A plugin's wrong type is one failed job of unknown cost, and not the end of the run."""
    backend = ScriptedBackend()
    backend.on_wait["row-0"] = deque([BadImage("no picture")])
    counts = await run(out, backend, [make_job(0), make_job(1)])
    assert (counts.failed, counts.cost_unknown, counts.succeeded) == (1, 1, 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused("nsfw"), "moderation"),
        (Rejected("bad size"), "invalid"),
        (JobError("no"), "failed"),
    ],
)
async def test_final_failures_are_not_tried_again(out: Path, error: Exception, kind: str) -> None:
    """One attempt, one clear kind, and the other jobs go on."""
    backend = ScriptedBackend()
    backend.on_wait["row-0"] = deque([error])
    counts = await run(out, backend, [make_job(0), make_job(1)])
    assert (counts.failed, counts.succeeded, dict(counts.errors)) == (1, 1, {kind: 1})
    assert backend.calls["submit"] == 2


async def test_a_look_that_breaks_is_no_end_of_a_prediction(out: Path) -> None:
    """It is looked at again by its id, and the image that was made all the while is fetched; nothing is paid again."""
    backend = ScriptedBackend()
    backend.on_wait["row-0"] = deque([TypeError("unhashable type: 'dict'")] * LOOK_TRIES)
    counts = await run(out, backend, [make_job()])
    assert (counts.succeeded, backend.calls["submit"], backend.calls["wait"]) == (1, 1, LOOK_TRIES + 1)


async def test_a_prediction_whose_state_stays_unreadable_is_held_and_not_paid_again(out: Path) -> None:
    """Also `--retry-failed` pays nothing for it: no look has shown that it ended."""
    backend = ScriptedBackend()
    backend.on_wait["row-0"] = deque([TypeError("unhashable type: 'dict'")] * 100)
    counts = await run(out, backend, [make_job(0), make_job(1)])
    assert (counts.held, counts.succeeded, dict(counts.errors)) == (1, 1, {"status_unreadable": 1})
    async with open_scripted(out, backend, [make_job(0), make_job(1)]) as batch:
        await reopen(batch.engine, EndedFilter(frozenset({JobState.FAILED, JobState.HELD})))
        backend.on_wait["row-0"].clear()
        await generate_range(batch, *EVERYTHING)
    assert ledger(out, "SELECT state FROM jobs") == [("succeeded",)] * 2
    assert backend.calls["submit"] == 2


@pytest.mark.parametrize(
    "method", ["record_success", "record_end_without_image", "record_failed_attempt", "record_intent"]
)
async def test_a_job_whose_end_cannot_be_recorded_ends_alone(
    out: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other jobs succeed, and the next run finds what was made and pays for nothing twice."""
    backend = ScriptedBackend()
    broken = {"record_end_without_image": Refused("no"), "record_failed_attempt": Transient("interrupted")}
    backend.on_wait["row-0"] = deque([broken[method]] if method in broken else [])
    jobs = [make_job(number) for number in range(3)]
    async with open_scripted(out, backend, jobs) as batch:
        write = getattr(batch.journal, method)

        async def refuse(job: Job, **values: object) -> None:
            if job.id == "row-0":
                raise ValueError("a value that no database takes")
            await write(job, **values)

        monkeypatch.setattr(batch.journal, method, refuse)
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is None
        assert (await count_jobs(batch.engine)).succeeded == 2
    await run(out, backend, jobs)
    assert sum(backend.billed.values()) <= 3


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Throttled("daily quota of 50 images reached", retry_after_s=None), "accepted nothing for 5 minutes"),
        (Throttled("limit is 0 requests per minute", retry_after_s=1, creates_per_min=0.0), "0 requests per minute"),
        (Throttled("no quota", retry_after_s=None, creates_per_min=1e-300), "no quota"),
        (Throttled("come back tomorrow", retry_after_s=7 * 3_600), "2026-"),
    ],
)
async def test_a_429_that_never_ends_stops_the_batch_in_the_services_words(
    out: Path, error: Throttled, words: str
) -> None:
    """Nothing is spent, every job stays open, and a resume finishes once the service accepts again."""
    backend, clock = ScriptedBackend(), FakeClock()
    jobs = [make_job(number) for number in range(3)]
    for job in jobs:
        backend.on_submit[job.id or ""] = deque([error] * 10_000)
    async with open_scripted(out, backend, jobs, clock=clock.clock) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "throttled"
        assert words in str(batch.stop.cause)
        assert error.args[0] in str(batch.stop.cause)
    assert clock.now_s < 2 * REFUSAL_PATIENCE_S
    assert not backend.billed
    backend.on_submit.clear()
    assert (await run(out, backend, jobs)).succeeded == 3


async def test_a_429_while_a_prediction_runs_is_waited_out(out: Path) -> None:
    """A service that runs one at a time and refuses the next for ten minutes is at work, not closed."""
    backend, clock = ScriptedBackend(), FakeClock()
    backend.on_submit["row-1"] = deque([Throttled("one at a time", retry_after_s=60)] * 10)

    async def run_long(job: Job, prediction: Prediction) -> Prediction:
        while job.id == "row-0" and backend.on_submit["row-1"]:
            await asyncio.sleep(0)
        return replace(prediction, cost_micros=PRICE_MICROS)

    backend.wait = run_long  # type: ignore[method-assign]
    assert (await run(out, backend, [make_job(0), make_job(1)], clock=clock.clock)).succeeded == 2
    assert clock.now_s > REFUSAL_PATIENCE_S


async def test_passing_failures_get_new_attempts_within_the_limit(out: Path) -> None:
    """Each is an attempt of its own with growing pauses; after the last the job is failed."""
    clock = FakeClock()
    backend = ScriptedBackend()
    backend.on_wait["row-0"] = deque([Transient("interrupted"), Transient("interrupted")])
    backend.on_wait["row-1"] = deque([Transient("interrupted")] * 9)
    counts = await run(out, backend, [make_job(0), make_job(1)], clock=clock.clock, max_attempts=3)
    assert (counts.succeeded, counts.failed, dict(counts.errors)) == (1, 1, {"transient": 1})
    assert ledger(out, "SELECT id, attempts, cost_micros FROM jobs ORDER BY id") == [
        ("row-0", 3, PRICE_MICROS),
        ("row-1", 3, 0),
    ]
    # A turn of the account's pace takes a millisecond.
    assert sorted(pause_s for pause_s in clock.slept_s if pause_s > 0.1) == [1.0, 1.0, 2.0, 2.0]


async def test_a_broken_download_is_fetched_again_and_not_paid_again(out: Path) -> None:
    """Fetching is retried apart from the generation."""
    backend = ScriptedBackend()
    backend.on_fetch["row-0"] = deque([BadImage("cut"), picture()[:40], picture()])
    counts = await run(out, backend, [make_job()])
    assert (counts.succeeded, backend.calls["submit"], backend.calls["fetch"]) == (1, 1, 3)


async def test_a_submitted_job_of_a_killed_run_is_waited_for(out: Path) -> None:
    """Resume polls the known prediction; nothing is sent."""
    job = make_job()
    async with open_batch_with(out, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=PRICE_MICROS, now_us=START_US)
        prediction = await ScriptedBackend().submit(job, attempt=1)
        batch.journal.record_submitted(job, number=1, prediction=prediction, retries=0, now_us=START_US)
    backend = ScriptedBackend()
    counts = await run(out, backend, [job])
    assert (counts.succeeded, backend.calls["submit"], backend.calls["wait"]) == (1, 0, 1)
    assert ledger(out, "SELECT number, state, cost_micros FROM attempts") == [(1, "succeeded", PRICE_MICROS)]


@pytest.mark.parametrize("was_created", [True, False])
async def test_an_intent_of_a_killed_run_is_looked_up(out: Path, was_created: bool) -> None:  # noqa: FBT001  a case
    """Killed around the call: adopted where it was created, a new attempt where it was not."""
    job = make_job()
    async with open_batch_with(out, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=PRICE_MICROS, now_us=START_US)
    backend = ScriptedBackend()
    backend.billed[job.job_id] += was_created
    counts = await run(out, backend, [job])
    assert counts.succeeded == 1
    assert backend.billed[job.job_id] == 1
    states = ledger(out, "SELECT number, state FROM attempts ORDER BY number")
    assert states == ([(1, "succeeded")] if was_created else [(1, "failed"), (2, "succeeded")])


async def test_a_stop_leaves_the_rest_open(out: Path) -> None:
    """Token, credit and the like: nobody's job is marked failed for it, and everything can be resumed."""
    backend = ScriptedBackend()
    backend.on_submit["row-1"] = deque([BatchStopped("credit", "no credit")])
    jobs = [make_job(number) for number in range(5)]
    async with open_scripted(out, backend, jobs, concurrency=1) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "credit"
        counts = await count_jobs(batch.engine)
    assert (counts.succeeded, counts.planned, counts.failed) == (1, 4, 0)
    assert (await run(out, ScriptedBackend(), jobs)).succeeded == 5


async def test_a_drain_lands_what_is_in_flight(out: Path) -> None:
    """After the first Ctrl-C no new submit leaves, and every prediction in flight becomes a picture."""
    backend, drained, waiting = ScriptedBackend(), asyncio.Event(), list[Job]()
    jobs = [make_job(number) for number in range(12)]
    async with open_scripted(out, backend, jobs, concurrency=4) as batch:
        wait = backend.wait

        async def drain_at_the_fourth(job: Job, prediction: Prediction) -> Prediction:
            waiting.append(job)
            if len(waiting) == 4:
                batch.stop.drain()
                drained.set()
            await drained.wait()
            return await wait(job, prediction)

        backend.wait = drain_at_the_fourth  # type: ignore[method-assign]
        await generate_range(batch, *EVERYTHING)
        counts = await count_jobs(batch.engine)
    assert (counts.succeeded, counts.planned) == (4, 8)
    assert backend.calls["submit"] == 4


async def test_a_drain_waits_for_no_turn_to_create(out: Path) -> None:
    """At one create a minute: the jobs that wait for theirs stay open at once, not in an hour."""
    backend = ScriptedBackend()
    jobs = [make_job(number) for number in range(8)]
    async with open_scripted(out, backend, jobs, concurrency=8, clock=Clock()) as batch:
        pausing = batch.stop.pausing(batch.clock.sleep)
        batch.get_limits("sketch").creates = RateLimiter(1.0, now=batch.clock.monotonic_s, sleep=pausing)
        generating = asyncio.create_task(generate_range(batch, *EVERYTHING))
        while not backend.calls["wait"]:
            await asyncio.sleep(0.001)
        batch.stop.drain()
        await asyncio.wait_for(generating, PATIENCE_S)
        counts = await count_jobs(batch.engine)
    assert (counts.succeeded, counts.planned, backend.calls["submit"]) == (1, 7, 1)


async def test_what_came_too_soon_is_not_sent_after_a_drain(out: Path) -> None:
    """A provider that asks for minutes does not hold up the end of the run."""
    backend = ScriptedBackend()
    backend.on_submit["row-0"] = deque([Throttled("slowly", retry_after_s=240)])
    async with open_scripted(out, backend, [make_job()], clock=Clock()) as batch:
        generating = asyncio.create_task(generate_range(batch, *EVERYTHING))
        while not batch.rate_limiters or not batch.rate_limiters[0].pause_s:
            await asyncio.sleep(0.001)
        batch.stop.drain()
        await asyncio.wait_for(generating, 120)  # half of what the provider asked for
    assert backend.calls["submit"] == 1
    assert ledger(out, "SELECT state, cost_micros FROM attempts") == [("failed", 0)]


async def test_what_was_not_created_is_not_sent_again_while_the_batch_drains(out: Path) -> None:
    """A connection that was refused is tried again, but not after a stop: it would be a new submit."""
    backend = ScriptedBackend()
    backend.on_submit["row-0"] = deque([NotCreated("refused")])
    async with open_scripted(out, backend, [make_job()]) as batch:
        backend.before_submit = lambda _: batch.stop.drain()
        await generate_range(batch, *EVERYTHING)
        assert (await count_jobs(batch.engine)).planned == 1
    assert backend.calls["submit"] == 1
    assert ledger(out, "SELECT state, cost_micros FROM attempts") == [("failed", 0)]


async def test_the_second_interrupt_cancels_known_predictions(out: Path) -> None:
    """Stopping now cancels what is in flight at the provider; the ledger still has it as submitted."""
    backend = ScriptedBackend(latency_s=60)
    async with open_scripted(out, backend, [make_job()]) as batch:
        generating = asyncio.create_task(generate_range(batch, *EVERYTHING))
        while not backend.in_flight:
            await asyncio.sleep(0.001)
        generating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await generating
    assert backend.cancelled == ["row-0/1"]
    assert ledger(out, "SELECT state FROM jobs") == [("submitted",)]


@pytest.mark.parametrize("was_sent", [True, False])
async def test_what_a_killed_run_reserved_is_counted_once(out: Path, was_sent: bool) -> None:  # noqa: FBT001  a case
    """A resume spends its whole budget: the reservation of an unfinished attempt becomes that attempt's cost."""
    jobs = [make_job(0), make_job(1)]
    backend = ScriptedBackend()
    async with open_batch_with(out, jobs) as batch:
        await batch.journal.record_intent(jobs[0], number=1, reserved_micros=PRICE_MICROS, now_us=START_US)
        if was_sent:
            prediction = await backend.submit(jobs[0], attempt=1)
            batch.journal.record_submitted(jobs[0], number=1, prediction=prediction, retries=0, now_us=START_US)
    counts = await run(out, backend, jobs, budget_micros=2 * PRICE_MICROS)
    assert (counts.succeeded, counts.cost_micros) == (2, 2 * PRICE_MICROS)


async def test_too_many_failures_stop_the_batch(out: Path) -> None:
    """Half of the last twenty failing stops it: the rest is not burnt."""
    backend = ScriptedBackend()
    jobs = [make_job(number) for number in range(60)]
    for job in jobs:
        backend.on_wait[str(job.id)] = deque([JobError("no")])
    async with open_scripted(out, backend, jobs, concurrency=1) as batch:
        await generate_range(batch, *EVERYTHING)
        counts = await count_jobs(batch.engine)
    assert (counts.failed, counts.planned) == (20, 40)


async def test_no_more_jobs_in_flight_than_configured(out: Path) -> None:
    """The backend never sees more than its concurrency."""
    backend = ScriptedBackend(latency_s=0.002)
    await run(out, backend, [make_job(number) for number in range(30)], concurrency=7)
    assert backend.most_in_flight == 7


async def test_while_pictures_cannot_land_no_more_are_paid_for(out: Path) -> None:
    """A host of pictures that is away holds the batch up: at most as many again as may be in flight are created."""
    backend, gate = ScriptedBackend(), asyncio.Event()
    fetch = backend.fetch

    async def fetch_later(job: Job, prediction: Prediction) -> bytes:
        await gate.wait()
        return await fetch(job, prediction)

    backend.fetch = fetch_later  # type: ignore[method-assign]  # the host is away
    jobs = [make_job(number) for number in range(30)]
    async with open_scripted(out, backend, jobs, concurrency=4) as batch:
        generating = asyncio.create_task(generate_range(batch, *EVERYTHING))
        while backend.calls["submit"] < 8:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert backend.calls["submit"] == 8
        gate.set()
        await generating
        assert (await count_jobs(batch.engine)).succeeded == 30


async def test_a_full_disk_stops_and_keeps_what_was_paid(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that cannot be written is not a failed job: it is fetched again when there is room."""

    async def full(*_: object, **__: object) -> None:
        raise BatchStopped("disk", "the disk is full")

    backend = ScriptedBackend()
    with monkeypatch.context() as patched:
        patched.setattr("tasks.generate.collect.store_image", full)
        async with open_scripted(out, backend, [make_job()]) as batch:
            await generate_range(batch, *EVERYTHING)
    assert ledger(out, "SELECT state FROM jobs") == [(JobState.SUBMITTED,)]
    counts = await run(out, backend, [make_job()])
    assert (counts.succeeded, backend.calls["submit"]) == (1, 1)


async def test_what_lies_between_the_jobs_that_are_meant_stays_open(out: Path) -> None:
    """A shard of what this run has planned is a range, and nothing else in it is paid for."""
    backend = ScriptedBackend()
    async with open_scripted(out, backend, [make_job(number) for number in range(3)]) as batch:
        await plan_jobs(batch.engine, [make_job(0), make_job(2)], run=2, whole=False)
        [shard] = [shard async for shard in list_shards(batch.engine, 50, Selection(planned_run=2))]
        await generate_range(batch, shard.first, shard.last, shard.planned_run)
    assert ledger(out, "SELECT id FROM jobs WHERE state = 'planned'") == [("row-1",)]
    assert backend.billed == {make_job(0).job_id: 1, make_job(2).job_id: 1}


async def test_few_images_are_in_memory_however_many_are_in_flight(out: Path) -> None:
    """Many predictions end at once; their bytes come one after the other, and an image that has to wait holds none."""
    backend = Crowded()
    jobs = [make_job(number) for number in range(3 * MOST_IN_MEMORY)]
    counts = await run(out, backend, jobs, concurrency=len(jobs))
    assert counts.succeeded == len(jobs)
    assert backend.most == MOST_IN_MEMORY


@dataclass
class Crowded(ScriptedBackend):
    """Counts the images that are fetched side by side."""

    now: int = 0
    most: int = 0
    full: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(MOST_IN_MEMORY))

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        """Take until as many have begun as may, and a moment, in which no other one begins."""
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.wait_for(self.full.wait(), PATIENCE_S)
        await asyncio.sleep(0.05)
        self.now -= 1
        return await super().fetch(job, prediction)
