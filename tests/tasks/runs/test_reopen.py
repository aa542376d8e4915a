"""A row with several backends: who is asked next, and when nobody is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import Ambiguous, OutputGone, Refused, Rejected, Unfetched
from tasks.core.records import Counts, EndedFilter, Job, JobState
from tasks.generate.batch import Batch, open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.jobs import reopen
from tasks.ledger.open_jobs import Selection, find_open_backends, find_open_jobs
from tasks.ledger.queries import count_jobs, read_job_pages
from tasks.plan.fallback import find_fallback, move_to_backend
from tasks.runs.reopen import reroute
from tasks.store.output.folder import OutputFolder
from tests.support.factories import FakeClock, make_job, plan_jobs
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import ledger

EVERYTHING = (0, 2**62)
SETTINGS = Settings(
    default_backend="a",
    backends={
        name: BackendSettings.model_validate({"type": "sketch", "model": f"model-{name}", "backend_opts": {name: 1}})
        for name in ("a", "b", "c")
    },
)
JOB = make_job(backend="a", model="model-a", backend_opts={"a": 1, "own": 2}, fallbacks=("b", "c"))


@asynccontextmanager
async def two_services(
    out: Path, jobs: list[Job], a: ScriptedBackend, b: ScriptedBackend, *, budget_micros: int | None = None
) -> AsyncIterator[Batch]:
    """A batch over these jobs with two scripted services."""
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, jobs)
        clock = FakeClock().clock
        async with open_batch(OutputFolder(out), engine, SETTINGS, budget_micros=budget_micros, clock=clock) as batch:
            batch._backends |= {"a": a, "b": b, "c": ScriptedBackend()}
            yield batch


async def generate(batch: Batch) -> Counts:
    """Generate everything that is open and count."""
    await generate_range(batch, *EVERYTHING)
    return await count_jobs(batch.engine)


def test_a_job_on_another_backend_keeps_what_it_is_and_takes_what_is_configured_there() -> None:
    """Identity, seed and the row's own options stay; model and the instance's options are the other's."""
    moved = move_to_backend(JOB, "b", SETTINGS)
    assert moved == replace(
        JOB, backend="b", model="model-b", backend_opts={"b": 1, "own": 2}, fallbacks=("c",), rerouted_from="a"
    )
    assert move_to_backend(moved, "c", SETTINGS).rerouted_from == "a"
    assert move_to_backend(moved, "a", SETTINGS).rerouted_from is None


def test_the_next_configured_backend_is_the_fallback() -> None:
    """Names that the configuration no longer has are passed over."""
    assert find_fallback(replace(JOB, fallbacks=("gone", "c")), SETTINGS) == move_to_backend(JOB, "c", SETTINGS)
    assert find_fallback(replace(JOB, fallbacks=("gone",)), SETTINGS) is None


async def test_what_the_first_refuses_the_second_makes(out: Path) -> None:
    """The job succeeds once, with the other's name and model, both attempts and both costs in the ledger."""
    a, b = ScriptedBackend(), ScriptedBackend(price_micros=5_000)
    a.on_wait["row-0"].append(Refused("nudity", cost_micros=0))
    jobs = [make_job(n, backend="a", model="model-a", fallbacks=("b",)) for n in range(2)]
    async with two_services(out, jobs, a, b) as batch:
        counts = await generate(batch)
        rows = [row async for page in read_job_pages(batch.engine) for row in page]
    assert (counts.succeeded, counts.rerouted, counts.errors) == (2, 1, {})
    assert [(row["backend"], row["rerouted_from"], row["model"], row["cost_micros"]) for row in rows] == [
        ("b", "a", "model-b", 5_000),
        ("a", None, "model-a", 3_000),
    ]
    attempts = ledger(out, "SELECT number, backend, state, error_kind FROM attempts WHERE job_id IN "
                           "(SELECT job_id FROM jobs WHERE id = 'row-0') ORDER BY number")  # fmt: skip
    assert attempts == [(1, "a", "failed", "moderation"), (2, "b", "succeeded", None)]


async def test_a_job_that_nobody_serves_fails_as_the_last_one_said(out: Path) -> None:
    """Each backend is asked once, and the reason in the table is that of the last."""
    a, b = ScriptedBackend(), ScriptedBackend()
    a.on_submit["row-0"].append(Rejected("too large"))
    b.on_wait["row-0"].append(Refused("flagged"))
    async with two_services(out, [make_job(backend="a", fallbacks=("b",))], a, b) as batch:
        counts = await generate(batch)
    assert (counts.failed, counts.errors) == (1, {"moderation": 1})
    assert (a.calls["submit"], b.calls["submit"]) == (1, 1)


async def test_a_lost_call_is_held_and_nobody_else_is_asked(out: Path) -> None:
    """It may have been paid for."""
    a, b = ScriptedBackend(), ScriptedBackend()
    a.on_submit["row-0"].append(Ambiguous("lost", cost_micros=None))

    def cannot_tell(_: Job) -> None:
        raise Ambiguous("the list does not say", cost_micros=None)

    a.on_find = cannot_tell
    async with two_services(out, [make_job(backend="a", fallbacks=("b",))], a, b) as batch:
        counts = await generate(batch)
    assert counts.held == 1
    assert b.calls["submit"] == 0


async def test_a_fallback_keeps_the_budget(out: Path) -> None:
    """The other's price is set aside like any: one that does not fit is not sent."""
    a, b = ScriptedBackend(), ScriptedBackend(price_micros=50_000)
    a.on_wait["row-0"].append(Refused("no"))
    async with two_services(out, [make_job(backend="a", fallbacks=("b",))], a, b, budget_micros=10_000) as batch:
        counts = await generate(batch)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "budget"
    assert (counts.planned, b.calls["submit"]) == (1, 0)


async def test_a_plan_written_again_leaves_a_job_where_it_was_taken_over(out: Path) -> None:
    """The manifest names the first backend still; the job's picture and record are the other's."""
    a, b = ScriptedBackend(), ScriptedBackend()
    a.on_wait["row-0"].append(Refused("no"))
    jobs = [make_job(backend="a", model="model-a", fallbacks=("b",))]
    async with two_services(out, jobs, a, b) as batch:
        await generate(batch)
        await plan_jobs(batch.engine, jobs, run=2)
        rows = [row async for page in read_job_pages(batch.engine) for row in page]
    assert [(row["backend"], row["state"]) for row in rows] == [("b", "succeeded")]


async def test_failed_jobs_go_to_the_backend_that_a_resume_names(out: Path) -> None:
    """Those of one error kind only; the others stay failed, and the run selects nothing else."""
    a, b = ScriptedBackend(), ScriptedBackend()
    a.on_wait["row-0"].append(Refused("no"))
    a.on_submit["row-1"].append(Rejected("no"))
    jobs = [make_job(n, backend="a", model="model-a") for n in range(2)]
    async with two_services(out, jobs, a, b) as batch:
        await generate(batch)
        refused = EndedFilter(frozenset({JobState.FAILED}), frozenset({"moderation"}))
        assert await reopen(batch.engine, refused, run=2) == 1
        await reroute(batch.engine, 2, "b", SETTINGS)
        assert [(found.job.id, found.job.backend) for found in await find_open_jobs(batch.engine, *EVERYTHING)] == [
            ("row-0", "b")
        ]
        counts = await generate(batch)
    assert (counts.succeeded, counts.failed, counts.rerouted) == (1, 1, 1)
    assert b.calls["submit"] == 1


async def test_a_paid_picture_is_looked_for_before_another_backend_is_paid(out: Path) -> None:
    """A picture that could not be fetched is fetched now, and the backend that the resume names is not asked."""
    a, b = ScriptedBackend(), ScriptedBackend()
    a.on_fetch["row-0"].extend([Unfetched("away", cost_micros=None)] * 20)
    async with two_services(out, [make_job(backend="a")], a, b) as batch:
        assert (await generate(batch)).failed == 1
        a.on_fetch.clear()
        await reopen(batch.engine, EndedFilter(frozenset({JobState.FAILED})), run=2)
        await reroute(batch.engine, 2, "b", SETTINGS)
        counts = await generate(batch)
    assert (counts.succeeded, counts.rerouted, sum(a.billed.values()), b.calls["submit"]) == (1, 0, 1, 0)


async def test_when_the_look_finds_nothing_the_named_backend_is_paid(out: Path) -> None:
    """The picture is gone at the first; the second makes it."""
    a, b = ScriptedBackend(), ScriptedBackend()
    a.on_fetch["row-0"].extend([OutputGone("deleted", cost_micros=None)] * 2)
    async with two_services(out, [make_job(backend="a")], a, b) as batch:
        assert (await generate(batch)).failed == 1
        await reopen(batch.engine, EndedFilter(frozenset({JobState.FAILED})), run=2)
        await reroute(batch.engine, 2, "b", SETTINGS)
        counts = await generate(batch)
    assert (counts.succeeded, counts.rerouted, sum(a.billed.values()), sum(b.billed.values())) == (1, 1, 1, 1)


async def test_open_backends_are_all_that_may_be_asked(out: Path) -> None:
    """A fallback that is not set up is noticed before anything is sent."""
    async with two_services(
        out, [make_job(backend="a", fallbacks=("b", "c"))], ScriptedBackend(), ScriptedBackend()
    ) as batch:
        assert await find_open_backends(batch.engine, Selection()) == ["a", "b", "c"]
