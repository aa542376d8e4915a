"""One picture once more: what is made, what it is linked to, and what is never paid for twice."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import InputError, Refused
from tasks.generate.batch import Batch
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs as jobs_table
from tasks.ledger.queries import count_jobs
from tasks.plan.reroll import Reroll, plan_reroll, write_rerolls
from tests.support.factories import START_US, FakeClock, make_job, open_batch_with, plan_jobs
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, ledger, open_scripted

FOX = make_job(0, id="fox", prompt="a fox", extra={"tag": "x"})
JOBS = [FOX, make_job(1)]


async def reroll(batch: Batch, run: int = 2, *, source: str = FOX.job_id, **changes: object) -> str:
    """Plan a reroll, make it, and give its job_id."""
    wanted = Reroll(source=source, **changes)  # type: ignore[arg-type]  # seed and prompt
    planned = await plan_reroll(batch.engine, wanted)
    await write_rerolls(batch.engine, [wanted], run=run, now_us=START_US)
    await generate_range(batch, *EVERYTHING)
    return planned.job.job_id


async def test_a_reroll_is_a_job_of_its_own_beside_the_old_one(out: Path) -> None:
    """New seed, own record and file, a link; the old picture keeps its row and its file."""
    backend = ScriptedBackend()
    async with open_scripted(out, backend, JOBS) as batch:
        await generate_range(batch, *EVERYTHING)
        new = await reroll(batch)
    rows = ledger(out, "SELECT job_id, id, seed, prompt, state, attempts, extra, file_name FROM jobs ORDER BY position")
    assert [row[1] for row in rows] == ["fox", "row-1", "fox-r1"]
    assert rows[2][0] == new
    assert rows[2][2] != rows[0][2] == FOX.seed
    assert rows[2][3:6] == ("a fox", "succeeded", 1)
    assert json.loads(str(rows[2][6])) == {"tag": "x", "rerolled_from": FOX.job_id}
    assert all((out / str(row[7])).is_file() for row in rows)
    assert backend.billed == {job.job_id: 1 for job in JOBS} | {new: 1}


async def test_without_a_seed_each_time_another_picture(out: Path) -> None:
    """Names count on, whichever of them is asked for again."""
    async with open_scripted(out, ScriptedBackend(), JOBS) as batch:
        await generate_range(batch, *EVERYTHING)
        first = await reroll(batch)
        second = await reroll(batch, run=3)
        of_second = await reroll(batch, run=4, source=second)
    rows = {row[0]: row[1] for row in ledger(out, "SELECT job_id, id FROM jobs")}
    assert [rows[name] for name in (first, second, of_second)] == ["fox-r1", "fox-r2", "fox-r3"]
    assert len(ledger(out, "SELECT DISTINCT seed FROM jobs WHERE id LIKE 'fox%'")) == 4


async def test_the_same_seed_and_prompt_again_are_the_same_job(out: Path) -> None:
    """Asked for twice, paid for once."""
    backend = ScriptedBackend()
    async with open_scripted(out, backend, JOBS) as batch:
        await generate_range(batch, *EVERYTHING)
        new = await reroll(batch, seed=5, prompt="a  blue fox")
        again = await plan_reroll(batch.engine, Reroll(FOX.job_id, seed=5, prompt="a blue fox"))
        assert (again.job.job_id, again.is_to_do) == (new, False)
        assert await reroll(batch, run=3, seed=5, prompt="a blue fox") == new
    assert backend.billed[new] == 1


async def test_another_prompt_keeps_the_seed(out: Path) -> None:
    """The difference between two pictures is then that of their words."""
    async with open_scripted(out, ScriptedBackend(), JOBS) as batch:
        await generate_range(batch, *EVERYTHING)
        planned = await plan_reroll(batch.engine, Reroll(FOX.job_id, prompt="a wolf"))
    assert (planned.job.prompt, planned.job.seed, planned.job.backend) == ("a wolf", FOX.seed, FOX.backend)


async def test_a_reroll_that_was_interrupted_is_gone_on_with(out: Path) -> None:
    """Asked for again after a kill, it is the same job, not a second one."""
    async with open_scripted(out, ScriptedBackend(), JOBS) as batch:
        await generate_range(batch, *EVERYTHING)
        await write_rerolls(batch.engine, [Reroll(FOX.job_id)], run=2, now_us=START_US)
        interrupted = await plan_reroll(batch.engine, Reroll(FOX.job_id))
        assert interrupted.is_to_do
        assert await reroll(batch, run=3) == interrupted.job.job_id
    assert ledger(out, "SELECT count(*) FROM jobs") == [(3,)]


async def test_a_run_of_the_manifest_neither_withdraws_nor_repeats_it(out: Path) -> None:
    """The manifest does not hold the reroll, and its whole plan leaves it alone."""
    backend = ScriptedBackend()
    async with open_scripted(out, backend, JOBS) as batch:
        await generate_range(batch, *EVERYTHING)
        new = await reroll(batch)
        await plan_jobs(batch.engine, [make_job(2), FOX], run=3)
        await generate_range(batch, *EVERYTHING)
        assert (await count_jobs(batch.engine)).total == 3
    assert backend.billed[new] == 1
    assert ledger(out, f"SELECT withdrawn FROM jobs WHERE job_id = '{new}'") == [(0,)]


async def test_the_budget_of_the_batch_holds(out: Path) -> None:
    """What earlier pictures cost counts; a reroll beyond the cap is not sent."""
    backend = ScriptedBackend()
    async with open_scripted(out, backend, JOBS, budget_micros=2 * (backend.price_micros or 0)) as batch:
        await generate_range(batch, *EVERYTHING)
        new = await reroll(batch)
        assert batch.stop.cause is not None
    assert backend.billed[new] == 0
    assert ledger(out, f"SELECT state FROM jobs WHERE job_id = '{new}'") == [("planned",)]


async def test_a_failed_picture_can_be_rerolled(out: Path) -> None:
    """With another seed or prompt a refusal may be over; the failure stays on record."""
    backend = ScriptedBackend()
    backend.on_wait["fox"] = deque([Refused("flagged")])
    async with open_scripted(out, backend, JOBS) as batch:
        await generate_range(batch, *EVERYTHING)
        await reroll(batch, prompt="a tame fox")
    assert ledger(out, "SELECT state FROM jobs ORDER BY position") == [("failed",), ("succeeded",), ("succeeded",)]


async def prepared(engine: AsyncEngine, state: str) -> None:
    """Put the fox into this state."""
    async with engine.begin() as db:
        await db.execute(update(jobs_table).where(jobs_table.c.id == "fox").values(state=state))


@pytest.mark.parametrize(
    ("state", "changes", "message"),
    [
        ("planned", {}, "has not been made yet"),
        ("submitted", {}, "has not been made yet"),
        ("succeeded", {"seed": FOX.seed}, "already"),
        ("succeeded", {"prompt": " a  fox "}, "already"),
        ("succeeded", {"prompt": "a fox", "seed": FOX.seed}, "already"),
        ("succeeded", {"prompt": " \n"}, "--prompt is empty"),
    ],
)
async def test_what_makes_no_sense_is_refused(out: Path, state: str, changes: dict[str, object], message: str) -> None:
    """Before anything is written or spent."""
    async with open_batch_with(out, JOBS, clock=FakeClock().clock) as batch:
        await prepared(batch.engine, state)
        with pytest.raises(InputError, match=message):
            await plan_reroll(batch.engine, Reroll(FOX.job_id, **changes))  # type: ignore[arg-type]  # seed and prompt
    async with open_ledger(out) as engine:
        assert (await count_jobs(engine)).total == 2
