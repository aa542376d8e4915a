"""What earlier attempts count for: the most that they can have cost, at the price at which they were sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.backends.prices import dump_list_prices
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError
from tasks.core.records import Prediction
from tasks.generate.batch import open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.journal import Journal
from tasks.ledger.queries import count_jobs, sum_committed_micros
from tasks.ledger.runs import RunStart, begin_run
from tasks.runs.unknown_costs import bound_unknown_costs
from tasks.store.output.folder import OutputFolder
from tests.support.factories import START_US, FakeClock, make_job, plan_jobs
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, run


def priced(price_usd: float | None, **backend: str) -> Settings:
    """A configuration whose one backend has this price."""
    return Settings(
        backends={"sketch": BackendSettings.model_validate({"type": "sketch", "price_usd": price_usd, **backend})}
    )


async def test_images_of_unknown_cost_count_at_the_most_that_they_can_have_cost(out: Path) -> None:
    """A cap that comes later covers them too; counted as nothing, the bill would pass it."""
    await run(out, ScriptedBackend(price_micros=None), [make_job(0), make_job(1)])
    async with open_ledger(out) as engine:
        assert await sum_committed_micros(engine) == 0
        await bound_unknown_costs(engine, priced(0.01))
        assert await sum_committed_micros(engine) == 20_000
        assert (await count_jobs(engine)).cost_unknown == 2


async def test_a_cap_is_refused_where_earlier_images_have_no_price(out: Path) -> None:
    """The message names the setting that gives them one."""
    await run(out, ScriptedBackend(price_micros=None), [make_job(0)])
    async with open_ledger(out) as engine:
        with pytest.raises(ConfigError, match=r"backends\.sketch\.price_usd"):
            await bound_unknown_costs(engine, priced(None, type="replicate", model="nobody/knows-its-price"))


@pytest.mark.parametrize("clock_ran_back", [False, True])
async def test_an_attempt_keeps_the_price_at_which_it_was_sent(out: Path, clock_ran_back: bool) -> None:  # noqa: FBT001  a case
    """A price that changes while a prediction is in flight changes the next one's cost only."""
    jobs = [make_job(0), make_job(1)]
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, jobs)
        start = RunStart(
            manifest="m", salt=None, budget_micros=None, settings=priced(0.01).model_dump_json(), caller="me"
        )
        await begin_run(engine, start, now_us=START_US)
        journal = Journal(engine)
        await journal.record_intent(jobs[0], number=1, reserved_micros=10_000, now_us=START_US + 1)
        sent = Prediction(prediction_id="sketch-0-1")
        journal.record_submitted(jobs[0], number=1, prediction=sent, retries=0, now_us=START_US + 1)
        await journal.close()
        later = RunStart(
            manifest=None, salt=None, budget_micros=None, settings=priced(0.5).model_dump_json(), caller="me"
        )
        await begin_run(engine, later, now_us=START_US + (1 if clock_ran_back else 1_000_000))
        clock = FakeClock(now_s=5.0).clock
        async with open_batch(OutputFolder(out), engine, priced(0.5), budget_micros=None, clock=clock) as batch:
            await generate_range(batch, *EVERYTHING)
        assert (await count_jobs(engine)).cost_micros == 510_000


SCHNELL = "black-forest-labs/flux-schnell"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ('{"black-forest-labs/flux-schnell": {"image": 0.007}}', 7_000),
        ('{"black-forest-labs/flux-schnell": {"image": 0.007, "minute": 1}}', 3_000),
        ("{}", 3_000),
    ],
    ids=["an older list", "a unit of another version", "a ledger of an older version"],
)
async def test_an_attempt_keeps_the_built_in_price_of_its_run(out: Path, listed: str, expected: int) -> None:
    """A version with a newer price list prices what an older one sent as that one did, and what it sends by its own."""
    settings = priced(None, type="replicate", model=SCHNELL)
    async with open_ledger(out, create=True) as engine:
        text = settings.model_dump_json()
        start = RunStart(manifest="m", salt=None, budget_micros=None, settings=text, caller="me", list_prices=listed)
        await begin_run(engine, start, now_us=START_US)
        await begin_run(engine, replace(start, list_prices=dump_list_prices()), now_us=START_US + 100)
        async with open_batch(OutputFolder(out), engine, settings, budget_micros=None) as batch:
            job = make_job(0, backend_type="replicate", model=SCHNELL)
            earlier = await batch.find_backend_as_sent("sketch", START_US + 1)
            assert earlier.estimate(job).cost_micros == expected
            assert batch.backend("sketch").estimate(job).cost_micros == 3_000
