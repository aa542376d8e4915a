"""Whose prediction it is: over equal inputs, models, folders, clocks and kills each belongs to one attempt."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.base import read_service_time_us
from tasks.backends.client import service_clock
from tasks.backends.client.answers import get_date
from tasks.backends.replicate_simulator.faults import build_rule
from tasks.backends.replicate_simulator.server import Simulator, run_simulator
from tasks.backends.replicate_simulator.truth import Truth
from tasks.core.configuration.sections import BackendSettings, StopSettings
from tasks.core.configuration.settings import Settings
from tasks.core.money import MICROS_PER_USD
from tasks.core.records import Counts, Job
from tasks.generate.batch import Batch, open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.accounts.predictions import Claim
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.queries import count_jobs
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job, plan_jobs
from tests.support.money import add_up
from tests.support.scripted_batch import ledger
from tests.tasks.backends.replicate.test_never_twice import EVERYTHING, QUICK, SPEED

SCHNELL, DEV = "black-forest-labs/flux-schnell", "black-forest-labs/flux-dev"
LOST = ("drop_before_create", "drop_after_create")


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_rehearsal")


def job_for(number: int, *, model: str = SCHNELL, **changes: Any) -> Job:
    """A job of one of the two instances; `number` makes it another job, whatever its input."""
    name = "schnell" if model == SCHNELL else "dev"
    sides = {"width": None, "height": None}
    return make_job(number, **{"backend": name, "backend_type": "replicate", "model": model, **sides, **changes})


@asynccontextmanager
async def open_at(out: Path, simulator: Simulator, jobs: Sequence[Job], **options: Any) -> AsyncIterator[Batch]:
    """An open batch of these jobs at the simulator."""
    out.mkdir(exist_ok=True)
    common = {
        "type": "replicate",
        "api_base": simulator.url,
        "delivery_hosts": ["localhost"],
        "lookup_patience_s": 0.6 * SPEED,
        "concurrency": 64,
        "creates_per_min": 60_000 / SPEED,
        "max_attempts": 6,
        **options,
    }
    backends = {
        name: BackendSettings.model_validate({**common, "model": model})
        for name, model in (("schnell", SCHNELL), ("dev", DEV))
    }
    stop = StopSettings(error_rate=1.0, error_window=10_000)
    settings = Settings(default_backend="schnell", backends=backends, stop=stop)
    clock = simulator.provider.clock
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, jobs)
        async with open_batch(OutputFolder(out), engine, settings, budget_micros=None, clock=clock) as batch:
            for name in backends:
                batch.backend(name)._clock = clock  # type: ignore[attr-defined]  # Replicate's own
            yield batch


async def generate(out: Path, simulator: Simulator, jobs: Sequence[Job], **options: Any) -> Counts:
    """Generate what is open and count; ledger, usage table and metadata table have one sum, and it was billed."""
    async with open_at(out, simulator, jobs, **options) as batch:
        await generate_range(batch, *EVERYTHING)
        sums = await add_up(batch.engine, out, simulator.truth().cost_usd)
        # The account may have other folders' predictions, and one that is held: `expect_billed` compares with all.
        assert sums["ledger"] == sums["usage"] == sums["table"] <= sums["bill"]
        return await count_jobs(batch.engine)


def expect_billed(truth: Truth, *folders: Path) -> None:
    """The ledgers of these folders have what the service has billed, to the micro-dollar."""
    rows = [ledger(folder, "SELECT COALESCE(SUM(cost_micros), 0) FROM attempts")[0] for folder in folders]
    assert sum(int(str(cost)) for (cost,) in rows) == round(truth.cost_usd * MICROS_PER_USD)


async def leave_lost(batch: Batch, job: Job, *, clock_ahead_s: float = 0.0) -> str:
    """Make its prediction and forget the answer, as a run that was killed then; gives the id."""
    backend = batch.backend(job.backend)
    sent_us = await read_service_time_us(backend)
    now_us = batch.clock.now_us() + round(clock_ahead_s * 1e6)
    await batch.journal.record_intent(job, number=1, reserved_micros=3_000, now_us=now_us, sent_at_us=sent_us)
    return (await backend.submit(job, attempt=1)).prediction_id


def list_ids(*folders: Path) -> list[str]:
    """Ids in the ledgers, each as often as an attempt has it."""
    query = "SELECT prediction_id FROM attempts WHERE prediction_id IS NOT NULL"
    return [str(row[0]) for folder in folders for row in ledger(folder, query)]


async def test_two_models_of_one_prompt_and_seed_stay_apart(out: Path) -> None:
    """The service names both by names of its own: a lost create of one adopts no prediction of the other."""
    twin = {"prompt": "a fox", "seed": 7}
    jobs = [job_for(n, model=model, **twin) for n, model in enumerate([SCHNELL, DEV])]
    async with run_simulator(QUICK, [build_rule("renamed_owner")]) as simulator:
        await generate(out, simulator, jobs[:1])
        simulator.set_faults([build_rule("renamed_owner"), build_rule("drop_before_create", first=1)])
        counts, truth = await generate(out, simulator, jobs), simulator.truth()
    assert (counts.succeeded, truth.created) == (2, 2)
    expect_billed(truth, out)


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("prompts", [["a red fox"], ["a red fox", "a red  fox", " a red fox"]], ids=["equal", "twins"])
async def test_equal_inputs_share_no_prediction(fault: str, prompts: list[str], out: Path) -> None:
    """Rows of one seed, and those that differ in white space: each has a prediction of its own, made once."""
    jobs = [job_for(n, prompt=prompts[n % len(prompts)], seed=7) for n in range(9)]
    async with run_simulator(QUICK, [build_rule(fault, first=4)]) as simulator:
        counts, truth = await generate(out, simulator, jobs), simulator.truth()
    assert (counts.succeeded, counts.held, truth.created) == (9, 0, 9)
    assert len(set(list_ids(out))) == 9
    expect_billed(truth, out)


async def test_a_part_of_an_input_is_no_match(tmp_path: Path) -> None:
    """A row without steps adopts no prediction of the same row with two steps, of whatever folder."""
    steps, plain = job_for(0, prompt="a fox", seed=7, steps=2), job_for(1, prompt="a fox", seed=7)
    async with run_simulator(QUICK) as simulator:
        await generate(tmp_path / "a", simulator, [steps])
        simulator.set_faults([build_rule("drop_before_create", first=1)])
        counts, truth = await generate(tmp_path / "b", simulator, [plain]), simulator.truth()
    assert (counts.succeeded, truth.created) == (1, 2)
    assert len(set(list_ids(tmp_path / "a", tmp_path / "b"))) == 2
    expect_billed(truth, tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("fault", LOST)
async def test_two_folders_of_one_manifest_pay_and_own_apart(fault: str, tmp_path: Path) -> None:
    """At once, on one account, with lost answers: no id in both ledgers, none held, the bill is both ledgers' sum."""
    folders, jobs = [tmp_path / "a", tmp_path / "b"], [job_for(n) for n in range(16)]
    async with run_simulator(QUICK, [build_rule(fault, 0.3)]) as simulator:
        counts = await asyncio.gather(*(generate(folder, simulator, jobs) for folder in folders))
        truth = simulator.truth()
    assert [(count.succeeded, count.held) for count in counts] == [(16, 0)] * 2
    assert truth.created == len(set(list_ids(*folders))) == len(list_ids(*folders)) == 32
    expect_billed(truth, *folders)


@pytest.mark.parametrize("fault", LOST)
async def test_a_clock_that_is_ahead_pays_nothing_twice(fault: str, out: Path) -> None:
    """The service's clock is ten minutes behind this machine's."""
    async with run_simulator(QUICK, [build_rule("clock_skew", 600), build_rule(fault, 0.3)]) as simulator:
        counts, truth = await generate(out, simulator, [job_for(n) for n in range(20)]), simulator.truth()
    assert (counts.succeeded, truth.created) == (20, 20)
    expect_billed(truth, out)


ODD_DATES: dict[str, Callable[[int], float]] = {
    "drifts": lambda number: number,
    "is hours ahead": lambda _: 7_200,
    "jumps ahead": lambda number: 18_000 * (number >= 6),
    "jumps back": lambda number: -18_000 * (number >= 6),
}
"""Seconds by which each answer's `Date` is ahead of the times that the service writes on predictions."""


@pytest.mark.parametrize("ahead_s", ODD_DATES.values(), ids=ODD_DATES)
async def test_an_odd_date_pays_nothing_twice_and_holds_nothing(
    ahead_s: Callable[[int], float], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up begins where our own predictions were made, not where a header says."""
    heard = itertools.count()
    monkeypatch.setattr(service_clock, "get_date", lambda answer: drift(get_date(answer), ahead_s(next(heard))))
    faults = [build_rule("drop_before_create", 0.2), build_rule("drop_after_create", 0.3)]
    async with run_simulator(QUICK, faults) as simulator:
        counts, truth = (
            await generate(out, simulator, [job_for(n) for n in range(12)], concurrency=4),
            simulator.truth(),
        )
    assert (counts.succeeded, truth.created) == (12, 12)
    expect_billed(truth, out)


def drift(date: datetime | None, seconds: float) -> datetime | None:
    """A date that is so much ahead."""
    return None if date is None else date + timedelta(seconds=seconds)


@pytest.mark.parametrize("clock_ahead_s", [-7_200.0, 7_200.0])
async def test_a_clock_put_right_between_kill_and_resume_pays_nothing_twice(clock_ahead_s: float, out: Path) -> None:
    """The intent has the service's time, so the look-up does not depend on this machine's clock at all."""
    job = job_for(0)
    async with run_simulator(QUICK) as simulator:
        async with open_at(out, simulator, [job]) as batch:
            lost = await leave_lost(batch, job, clock_ahead_s=clock_ahead_s)
        counts, truth = await generate(out, simulator, [job]), simulator.truth()
    assert (counts.succeeded, truth.created, list_ids(out)) == (1, 1, [lost])
    expect_billed(truth, out)


async def test_two_models_of_one_account_look_together(out: Path) -> None:
    """Instances of one token share the sweeps of the list and the account's requests; ids are excluded over both."""
    jobs = [job_for(n, model=(SCHNELL, DEV)[n % 2], prompt="a fox", seed=7) for n in range(8)]
    async with run_simulator(QUICK, [build_rule("drop_after_create")]) as simulator:
        async with open_at(out, simulator, jobs) as batch:
            await generate_range(batch, *EVERYTHING)
            counts = await count_jobs(batch.engine)
            schnell, dev = (vars(batch.backend(name)) for name in ("schnell", "dev"))
            assert schnell["_lost_creates"] is dev["_lost_creates"]
            assert schnell["_limiter"] is dev["_limiter"]
        truth = simulator.truth()
    assert (counts.succeeded, truth.created, len(set(list_ids(out)))) == (8, 8, 8)
    expect_billed(truth, out)


async def test_a_prediction_without_data_is_never_taken_for_none(out: Path) -> None:
    """The service has lost what would tell whose it is: held, not paid for again."""
    job = job_for(0)
    faults = [build_rule("retention", 0), build_rule("drop_after_create", first=1)]
    async with run_simulator(replace(QUICK, latency_s=0.01), faults) as simulator:
        counts, truth = await generate(out, simulator, [job], lookup_patience_s=2.0 * SPEED), simulator.truth()
    assert (counts.held, truth.created) == (1, 1)


async def test_a_prediction_that_the_list_shows_bare_is_asked_for_itself(out: Path) -> None:
    """Its own answer has the input: lost ones are found, and those of others hold no job."""
    jobs = [job_for(n) for n in range(20)]
    faults = [
        build_rule("list_without_data"),
        build_rule("drop_after_create", 0.3),
        build_rule("server_error_500", 0.3),
    ]
    async with run_simulator(QUICK, faults) as simulator:
        counts, truth = await generate(out, simulator, jobs), simulator.truth()
    assert (counts.succeeded, counts.held, truth.created) == (20, 0, 20)
    expect_billed(truth, out)


async def test_after_a_kill_equal_jobs_find_their_predictions_one_to_one(out: Path) -> None:
    """Three lost predictions of one input for three jobs: none is held, none made again."""
    jobs = [job_for(n, prompt="a fox", seed=7) for n in range(3)]
    async with run_simulator(QUICK) as simulator:
        async with open_at(out, simulator, jobs) as batch:
            lost = [await leave_lost(batch, job) for job in jobs]
        counts, truth = await generate(out, simulator, jobs), simulator.truth()
    assert (counts.succeeded, truth.created) == (3, 3)
    assert sorted(list_ids(out)) == sorted(lost)
    expect_billed(truth, out)


async def test_after_a_kill_a_renamed_model_is_found(out: Path) -> None:
    """Other predictions of the ledger show the service's name for the model."""
    jobs = [job_for(n) for n in range(3)]
    async with run_simulator(QUICK, [build_rule("renamed_owner")]) as simulator:
        async with open_at(out, simulator, jobs) as batch:
            # The lost one first: on a slow machine those made before it are too old for the list that is read.
            lost = await leave_lost(batch, jobs[2])
            await generate_range(batch, 0, 1)
            assert (await count_jobs(batch.engine)).succeeded == 2
        counts, truth = await generate(out, simulator, jobs), simulator.truth()
    assert (counts.succeeded, truth.created) == (3, 3)
    assert lost in list_ids(out)
    expect_billed(truth, out)


async def test_a_claim_finds_what_the_ledger_did_not_hear_of(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run was killed between the claim and the ledger; the list shows nothing of it, and the key is another one now."""
    job = job_for(0)
    async with run_simulator(QUICK) as simulator:
        async with open_at(out, simulator, [job]) as batch:
            lost = await leave_lost(batch, job)
            registry = batch.backend(job.backend).allowance().registry
            claim = Claim(account=registry, prediction_id=lost, job_id=job.job_id, number=1)
            assert await batch.ids.claim(claim)
        simulator.set_faults([build_rule("poll_500", first=1)])
        monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_rotated")
        counts, truth = await generate(out, simulator, [job]), simulator.truth()
    assert (counts.succeeded, truth.created, truth.requests.get("list", 0)) == (1, 1, 0)
    expect_billed(truth, out)


async def test_two_keys_of_one_account_share_no_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list shows what another batch has made with another key: a lost create of the same input does not take it."""
    job, first, second = job_for(0), tmp_path / "a", tmp_path / "b"
    async with run_simulator(QUICK) as simulator:
        async with open_at(second, simulator, [job]) as batch:
            sent_us = await read_service_time_us(batch.backend(job.backend))
            now_us = batch.clock.now_us()
            await batch.journal.record_intent(job, number=1, reserved_micros=3_000, now_us=now_us, sent_at_us=sent_us)
        counts = [await generate(first, simulator, [job])]
        monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_second_key")
        counts.append(await generate(second, simulator, [job]))
        truth = simulator.truth()
    assert [(count.succeeded, count.held) for count in counts] == [(1, 0)] * 2
    assert truth.created == len(set(list_ids(first, second))) == 2
    expect_billed(truth, first, second)


async def test_a_copied_folder_takes_no_prediction_of_its_original(tmp_path: Path) -> None:
    """Both ledgers have the same open job: each makes its own image, and the bill is the sum of both."""
    job, original, copy = job_for(0), tmp_path / "a", tmp_path / "b"
    async with run_simulator(QUICK) as simulator:
        async with open_at(original, simulator, [job]):
            pass
        shutil.copytree(original, copy)
        counts = [await generate(original, simulator, [job])]
        simulator.set_faults([build_rule("drop_before_create", first=1)])
        counts.append(await generate(copy, simulator, [job]))
        truth = simulator.truth()
    assert [count.succeeded for count in counts] == [1, 1]
    assert truth.created == len(set(list_ids(original, copy))) == 2
    expect_billed(truth, original, copy)


ODD = {
    "list_odd_entries": 0.5,
    "list_loops": 0.5,
    "poll_odd_status": 0.2,
    "poll_deep_json": 0.2,
}


@pytest.mark.parametrize("fault", ODD)
async def test_an_odd_answer_harms_nothing_but_itself(fault: str, out: Path) -> None:
    """A look that breaks is no end of a prediction: all succeed, each paid for once."""
    quick = replace(QUICK, speed=SPEED)
    async with run_simulator(
        quick, [build_rule(fault, ODD[fault]), build_rule("drop_before_create", 0.1)]
    ) as simulator:
        counts, truth = await generate(out, simulator, [job_for(n) for n in range(40)]), simulator.truth()
    assert truth.faults[fault] > 0
    assert counts.failed == 0
    assert truth.created == counts.succeeded
    assert counts.succeeded + counts.held == 40
    assert counts.succeeded >= 30
