"""The whole way against the simulator: whatever goes wrong, nothing is billed twice and nothing ends without a reason."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.replicate import api
from tasks.backends.replicate_simulator import faults
from tasks.backends.replicate_simulator.faults import build_rule
from tasks.backends.replicate_simulator.server import Simulator, run_simulator
from tasks.backends.replicate_simulator.settings import Settings as Simulated
from tasks.core import retry
from tasks.core.clock import Clock, to_instant
from tasks.core.configuration.sections import BackendSettings, StopSettings, UnitPrices
from tasks.core.configuration.settings import Settings
from tasks.core.records import Counts
from tasks.generate.batch import Batch, open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.queries import count_jobs, read_job_pages
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job, plan_jobs
from tests.support.money import add_up

SPEED = 4
"""The simulator's clock, which batches here keep to, beside ours."""
QUICK = Simulated(
    speed=SPEED,
    latency_s=0.3 * SPEED,
    picture_kb=2,
    shrink=16,
    creates_per_min=60_000 / SPEED,
    create_burst=5_000,
    reads_per_min=600_000 / SPEED,
)
HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 100))
"""For faults that are waited out for a minute."""
MODEL = "black-forest-labs/flux-schnell"
EVERYTHING = (0, 2**62)
SEEDS = [int(seed) for seed in os.environ.get("IMAGEN_FAULT_SEEDS", "0 3").split()]
"""Of the chance by which every fault at once strikes."""


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_rehearsal")


@asynccontextmanager
async def batch_at(
    out: Path,
    simulator: Simulator,
    jobs: int,
    *,
    clock: Clock | None = None,
    prices: dict[str, UnitPrices] | None = None,
    **backend: Any,
) -> AsyncIterator[Batch]:
    """An open batch of so many jobs whose backend talks to the simulator."""
    options = {
        "type": "replicate",
        "model": MODEL,
        "api_base": simulator.url,
        "delivery_hosts": ["localhost"],
        "lookup_patience_s": 0.6 * SPEED,
        "concurrency": 64,
        "creates_per_min": 60_000 / SPEED,
        **backend,
    }
    settings = Settings(
        default_backend="flux",
        backends={"flux": BackendSettings.model_validate(options)},
        stop=StopSettings(error_rate=1.0, error_window=10_000),
        prices=prices or {},
    )
    planned = [make_job(n, backend="flux", backend_type="replicate", model=MODEL) for n in range(jobs)]
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, planned)
        clock = clock or simulator.provider.clock
        async with open_batch(OutputFolder(out), engine, settings, budget_micros=None, clock=clock) as batch:
            batch.backend("flux")._clock = clock  # type: ignore[attr-defined]  # Replicate's own
            yield batch


async def generate(out: Path, simulator: Simulator, jobs: int, **backend: Any) -> Counts:
    """Generate what is open and count."""
    async with batch_at(out, simulator, jobs, **backend) as batch:
        await generate_range(batch, *EVERYTHING)
        return await count_jobs(batch.engine)


async def test_a_batch_without_faults(out: Path) -> None:
    """Every job one prediction, one picture, its price; the token stays with the API."""
    async with run_simulator(QUICK) as simulator:
        counts = await generate(out, simulator, 100)
        truth = simulator.truth()
    assert (counts.succeeded, counts.cost_micros) == (100, 300_000)
    assert (truth.created, truth.billed, truth.token_leaks) == (100, 100, 0)
    assert truth.cost_usd == pytest.approx(0.3)


SURVIVED = {
    "drop_before_create": 0.3,
    "drop_after_create": 0.3,
    "timeout_504_after_create": 0.3,
    "unreadable_2xx_after_create": 0.3,
    "server_error_500": 0.2,
    "bad_gateway_html_502": 0.2,
    "throttled": 0.2,
    "poll_429": 0.2,
    "poll_500": 0.2,
    "failed_pa": 0.1,
    "failed_director_e9828": 0.1,
    "output_dict": 0.5,
    "output_data_uri": 0.5,
    "wrong_suffix": 0.5,
    "wrong_content_type": 0.5,
    "redirect_file": 0.5,
    "list_lag": 0.3,
}
"""Faults after which every job succeeds, and how often each strikes here."""


REPETITIONS = {"bad_gateway_html_502", "failed_director_e9828", "output_dict", "wrong_content_type", "poll_429"}
"""Each is met by the same code as its neighbour in the list."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.soak] if name in REPETITIONS else []) for name in SURVIVED]
)
async def test_faults_that_are_survived(name: str, out: Path) -> None:
    """All pictures are there, and none was billed twice."""
    async with run_simulator(QUICK, [build_rule(name, SURVIVED[name])]) as simulator:
        counts = await generate(out, simulator, 40, max_attempts=6)
        truth = simulator.truth()
    assert (counts.succeeded, counts.failed, counts.held) == (40, 0, 0)
    assert (truth.duplicates_billed, truth.billed, truth.token_leaks) == (0, 40, 0)


REASONS = {
    "not_found": "invalid",
    "invalid_input": "invalid",
    "failed_e005": "moderation",
    "failed_nsfw": "moderation",
    "output_null": "no_output",
    "file_404": "output_gone",
    "file_500": "unfetched",
    "truncated_file": "bad_image",
    "html_instead_of_image": "bad_image",
    "redirect_foreign": "foreign_host",
    "retention:0": "output_gone",
}
"""Faults that a job does not survive, and the kind of error that it has then."""


@pytest.mark.parametrize("fault", REASONS)
async def test_faults_that_end_a_job_for_a_reason(fault: str, out: Path) -> None:
    """The job is failed with its kind, what was paid stands in the ledger, and nothing is paid again."""
    async with run_simulator(QUICK, [faults.parse_rule(fault)]) as simulator:
        counts = await generate(out, simulator, 3, clock=HASTY)
        truth = simulator.truth()
    assert (counts.failed, dict(counts.errors)) == (3, {REASONS[fault]: 3})
    assert (truth.duplicates_billed, truth.token_leaks) == (0, 0)
    assert counts.cost_micros == round(truth.cost_usd * 1e6)


@pytest.mark.parametrize(("fault", "reason"), [("unauthorized", "token"), ("insufficient_credit:5", "credit")])
async def test_faults_that_stop_the_batch(fault: str, reason: str, out: Path) -> None:
    """Nobody's job is failed for them; with the fault gone the batch goes on and nothing is billed twice."""
    async with run_simulator(QUICK, [faults.parse_rule(fault)]) as simulator:
        async with batch_at(out, simulator, 20, concurrency=4) as batch:
            await generate_range(batch, *EVERYTHING)
            assert batch.stop.cause is not None
            assert batch.stop.cause.reason == reason
            assert (await count_jobs(batch.engine)).failed == 0
        simulator.set_faults([])
        counts = await generate(out, simulator, 20)
        truth = simulator.truth()
    assert (counts.succeeded, truth.duplicates_billed, truth.billed) == (20, 0, 20)


async def test_an_old_intent_is_looked_up_with_patience_too(out: Path) -> None:
    """Its last send may be recent (a 429 is waited for in between), so a list that lags is waited for all the same."""
    job = make_job(backend="flux", backend_type="replicate", model=MODEL)
    async with run_simulator(QUICK, [build_rule("list_lag", 0.3)]) as simulator, batch_at(out, simulator, 1) as batch:
        backend = batch.backend("flux")
        sent = await backend.submit(job, attempt=1)
        half_an_hour_ago = to_instant(batch.clock.now_us() - 1_800 * 1_000_000)
        found = await backend.find(job, since=half_an_hour_ago, known=())
    assert found is not None
    assert found.prediction_id == sent.prediction_id


async def test_an_answer_that_never_comes_is_looked_up(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The create is given up after a while, found in the list and adopted."""
    monkeypatch.setattr(api, "ANSWER_TIMEOUT_S", 0.5)
    async with run_simulator(QUICK, [build_rule("hang_after_create", 0.3)]) as simulator:
        counts = await generate(out, simulator, 20)
        truth = simulator.truth()
    assert truth.faults["hang_after_create"] > 0
    assert (counts.succeeded, truth.created, truth.duplicates_billed) == (20, 20, 0)


async def test_a_prediction_that_takes_too_long_is_given_up(out: Path) -> None:
    """It is cancelled at the provider, and the job says so; nothing runs on and nothing is paid again unseen."""
    async with run_simulator(replace(QUICK, latency_s=600.0, starting_share=0.001)) as simulator:
        counts = await generate(out, simulator, 2, timeout_s=5.0, max_attempts=1)
        truth = simulator.truth()
    assert (counts.failed, counts.cost_unknown) == (2, 2)
    assert set(counts.errors) <= {"canceled", "timeout"}
    assert set(truth.by_status) == {"canceled"}
    assert truth.created == 2


async def test_a_prediction_that_never_starts_costs_nothing(out: Path) -> None:
    """`Cancel-After` lets the provider abort it, and a new attempt is made within the limit."""
    async with run_simulator(QUICK, [build_rule("stuck_starting", first=1)]) as simulator:
        # Three seconds here, ten times what the second attempt takes: a busy machine stands still for one now and then.
        counts = await generate(out, simulator, 1, timeout_s=3.0 * SPEED)
        truth = simulator.truth()
    assert (counts.succeeded, counts.cost_micros) == (1, 3_000)
    assert (truth.created, truth.billed) == (2, 1)


async def test_what_cannot_be_found_is_held(out: Path) -> None:
    """The list cannot be read, so nobody knows: held, not sent again, until the user says so."""
    async with run_simulator(QUICK, [build_rule("drop_after_create"), build_rule("poll_500")]) as simulator:
        counts = await generate(out, simulator, 5, lookup_patience_s=0.1, clock=HASTY)
        simulator.set_faults([])
        again = await generate(out, simulator, 5)
        truth = simulator.truth()
    assert (counts.held, again.held) == (5, 5)
    assert truth.created == 5


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_fault_at_once(seed: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 jobs, every fault at 5 %: each job has succeeded, is failed for a reason or held; none is billed twice."""
    monkeypatch.setattr(api, "ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(retry, "LONGEST_WAIT_S", 1.0)
    # Not at once: what stops the whole batch, or slows all of it, or removes every picture; each has a test of its own.
    left_out = {"unauthorized", "insufficient_credit", "low_credit", "retention", "several_images"}
    rules = [build_rule(name, 0.05) for name in faults.FAULTS if name not in {*left_out, "slow_file", "list_lag"}]
    rules += [build_rule("slow_file", 0.5, rate=0.05), build_rule("list_lag", 0.3)]
    quick = replace(QUICK, latency_s=0.2 * SPEED, seed=seed)
    async with run_simulator(quick, rules) as simulator:
        async with batch_at(out, simulator, 500, timeout_s=5.0 * SPEED, concurrency=200) as batch:
            await generate_range(batch, *EVERYTHING)
            counts = await count_jobs(batch.engine)
            sums = await add_up(batch.engine, out, simulator.truth().cost_usd)
            rows = [row async for page in read_job_pages(batch.engine) for row in page]
            assert batch.stop.cause is None
        truth = simulator.truth()
    assert counts.succeeded + counts.failed + counts.held == 500
    assert counts.succeeded > 0
    assert (truth.duplicates_billed, truth.token_leaks) == (0, 0), truth.repeated_inputs
    assert sums["ledger"] == sums["usage"] == sums["table"]
    # Nobody can tell whether an attempt of unknown cost was billed.
    assert 0 <= sums["bill"] - sums["ledger"] <= 3_000 * counts.cost_unknown
    assert all(row["error_message"] for row in rows if row["state"] != "succeeded")
    files = {path.relative_to(out).as_posix() for path in (out / "images").rglob("*.*")}
    assert files == {row["file_name"] for row in rows if row["state"] == "succeeded"}
    assert len(truth.faults) > 20


@pytest.mark.parametrize(("in_flight", "speed"), [(1, 4), (16, 4), pytest.param(256, 1, marks=pytest.mark.soak)])
async def test_requests_for_one_picture(in_flight: int, speed: float, out: Path) -> None:
    """Create, looks and download: at most 3.2 requests for each picture, however many are in flight."""
    jobs = min(256, in_flight * 8)
    async with run_simulator(replace(QUICK, speed=speed, latency_s=1.0)) as simulator:
        counts = await generate(out, simulator, jobs, concurrency=in_flight)
        truth = simulator.truth()
    assert counts.succeeded == jobs
    assert truth.requests_total / jobs <= 3.2, Counter(truth.requests)


@pytest.mark.soak  # waits for six creates of a slow account
async def test_low_credit_is_waited_for(out: Path) -> None:
    """An account that takes 6 creates a minute, and says so in the body only, fails no job."""
    # Slow enough that a busy machine is not taken for five minutes of nothing but 429, which end a batch.
    scaled = Simulated(speed=20, latency_s=5, picture_kb=2, shrink=16)
    async with run_simulator(scaled, [build_rule("low_credit")]) as simulator:
        counts = await generate(out, simulator, 6, concurrency=4, timeout_s=86_400, creates_per_min=600)
        truth = simulator.truth()
    assert counts.succeeded == truth.created == 6
    assert truth.throttled["create"] >= 1
