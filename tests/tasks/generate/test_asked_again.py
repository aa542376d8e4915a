"""What `--retry-failed` and `--retry-held` may pay for: only what a free look at the last attempt does not give."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from tasks.core.errors import Ambiguous, JobError, OutputGone, Transient, Unfetched
from tasks.core.records import Counts, EndedFilter, Job, JobState, Prediction
from tasks.generate.jobs import generate_range
from tasks.ledger.jobs import reopen
from tasks.ledger.queries import count_jobs
from tests.support.factories import make_job
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, ledger, open_scripted, run

COSTLY = [
    (Transient("canceled while it ran", cost_micros=None), None),
    (Transient("billed and lost", cost_micros=PRICE_MICROS), PRICE_MICROS),
    (OutputGone("too late", cost_micros=PRICE_MICROS), PRICE_MICROS),
]
"""Ends that cost something, or may have."""


async def retry(out: Path, backend: ScriptedBackend, state: JobState, budget_micros: int | None = None) -> Counts:
    """Open the one job again, as the user asked, and run it."""
    async with open_scripted(out, backend, [make_job()], budget_micros=budget_micros) as batch:
        await reopen(batch.engine, EndedFilter(frozenset({state})))
        await generate_range(batch, *EVERYTHING)
        return await count_jobs(batch.engine)


@pytest.mark.parametrize(("error", "cost_micros"), COSTLY)
async def test_what_cost_something_is_paid_again_only_when_asked(
    out: Path, error: JobError, cost_micros: int | None
) -> None:
    """The job is failed with its cost and its reason; asked for again, it is a new attempt beside the old one."""
    backend = ScriptedBackend()
    backend.on_wait["row-0"] = deque([error, error])
    counts = await run(out, backend, [make_job()])
    assert (counts.failed, backend.calls["submit"]) == (1, 1)
    assert ledger(out, "SELECT cost_micros FROM jobs") == [(cost_micros,)]
    assert (await retry(out, backend, JobState.FAILED)).succeeded == 1
    assert backend.calls["submit"] == 2
    states = ledger(out, "SELECT number, state, cost_micros FROM attempts ORDER BY number")
    assert states == [(1, "failed", cost_micros), (2, "succeeded", PRICE_MICROS)]


async def test_a_picture_that_can_be_fetched_after_all_is_not_paid_again(out: Path) -> None:
    """Its host was away for longer than a fetch is repeated: asked for again, it is fetched, and the price stays."""
    backend = ScriptedBackend()
    backend.on_fetch["row-0"] = deque([Unfetched("the host is away")] * 10)
    counts = await run(out, backend, [make_job()])
    assert (counts.failed, dict(counts.errors), counts.cost_micros) == (1, {"unfetched": 1}, PRICE_MICROS)
    again = await retry(out, backend, JobState.FAILED, budget_micros=PRICE_MICROS)
    assert (again.succeeded, again.cost_micros, backend.calls["submit"]) == (1, PRICE_MICROS, 1)
    assert ledger(out, "SELECT number, state FROM attempts") == [(1, "succeeded")]


async def test_what_cost_nothing_is_simply_sent_again(out: Path) -> None:
    """There is nothing to look at."""
    backend = ScriptedBackend()
    backend.on_wait["row-0"] = deque([JobError("no")])
    await run(out, backend, [make_job()])
    assert (await retry(out, backend, JobState.FAILED)).succeeded == 1
    assert (backend.calls["submit"], backend.calls["wait"]) == (2, 2)


async def test_a_new_attempt_is_covered_by_the_budget(out: Path) -> None:
    """The old attempt may have been paid for, so its reservation stays beside the new one's."""
    backend = ScriptedBackend()
    error = Transient("canceled while it ran", cost_micros=None)
    backend.on_wait["row-0"] = deque([error, error])
    await run(out, backend, [make_job()])
    assert (await retry(out, backend, JobState.FAILED, budget_micros=2 * PRICE_MICROS - 1)).succeeded == 0
    assert (await retry(out, backend, JobState.FAILED, budget_micros=2 * PRICE_MICROS)).succeeded == 1


def cannot_tell(_: Job) -> Prediction | None:
    """The provider cannot be asked."""
    raise Ambiguous("two predictions match", cost_micros=None)


@pytest.mark.parametrize("is_found", [True, False])
async def test_held_jobs_are_looked_for_once_more(out: Path, is_found: bool) -> None:  # noqa: FBT001  a case
    """Found now, the job is adopted; else the user has said that it may be paid for again."""
    backend = ScriptedBackend(created_anyway={"row-0"}, on_find=cannot_tell)
    backend.on_submit["row-0"] = deque([Ambiguous("dropped")])
    assert (await run(out, backend, [make_job()])).held == 1
    if is_found:
        backend.on_find = None
    assert (await retry(out, backend, JobState.HELD)).succeeded == 1
    assert backend.calls["submit"] == (1 if is_found else 2)


async def test_the_users_word_outlives_a_kill(out: Path) -> None:
    """Opened again and then killed before its turn, the next run takes the job up without asking a second time."""
    backend = ScriptedBackend()
    error = OutputGone("too late", cost_micros=PRICE_MICROS)
    backend.on_wait["row-0"] = deque([error, error])
    await run(out, backend, [make_job()])
    async with open_scripted(out, backend, [make_job()]) as batch:
        await reopen(batch.engine, EndedFilter(frozenset({JobState.FAILED})))
    assert (await run(out, backend, [make_job()])).succeeded == 1
    assert backend.calls["submit"] == 2
