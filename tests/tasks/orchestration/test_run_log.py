"""What the log of a flow run says while a batch runs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.core.configuration.settings import Settings
from tasks.core.display import Display
from tasks.core.errors import BatchStopped
from tasks.generate.batch import Batch
from tasks.orchestration.run_log import LoggedDisplay, RunWatch, log_beginning
from tasks.runs.request import RunRequest
from tasks.runs.run import OpenRun
from tests.support.factories import FakeClock, make_job, open_batch_with

logger = logging.getLogger("test-run-log")
PLACES = ("settings: imagen.yaml", "settings: built in")


def watch_over(batch: Batch) -> RunWatch:
    """A watch over a batch's run."""
    run = OpenRun(request=RunRequest(out="out"), batch=batch, number=1, settings=Settings())
    return RunWatch(run, logger)


async def test_shares_of_the_budget_are_logged_once(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At a half, at four fifths, and when all of it is spent or reserved."""
    caplog.set_level(logging.INFO)
    async with open_batch_with(out, [make_job()], budget_micros=100) as batch:
        watch = watch_over(batch)
        for micros in (40, 20, 10, 15, 15):
            await batch.budget.reserve(micros, job_id="a", number=1)
            await watch.look()
    assert [word for word in caplog.text.split() if word in {"50", "80", "100"}] == ["50", "80", "100"]


async def test_a_cut_rate_and_a_stop_are_logged(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each cut once, with the rate that is left; then why no new job is started."""
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    rate = RateLimiter(600, now=clock.monotonic_s, sleep=clock.sleep)
    async with open_batch_with(out, [make_job()]) as batch:
        batch.accounts.limiters["account"] = rate
        watch = watch_over(batch)
        await watch.look()
        rate.record_throttle(clock.monotonic_s(), retry_after_s=2.0, per_min=100)
        for _ in range(2):
            await watch.look()
        batch.stop.stop(BatchStopped("credit", "no credit"))
        for _ in range(2):
            await watch.look()
    lines = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert [("429" in line, "no credit" in line) for line in lines] == [(True, False), (False, True)]


def test_phases_and_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What a person would see on the screen stays in the log, without the numbers of each moment."""
    caplog.set_level(logging.INFO)
    display = LoggedDisplay(Display(), logger)
    display.phase("waiting for imagen-flux")
    display.warn("a price is old")
    display.start(7)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert "generating 7 images" in caplog.text


async def test_the_log_begins_with_the_place_and_the_settings(
    out: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At night nobody sees the process. A configuration that lies there and is not used is a warning."""
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(out.parent)
    Path("imagen.yaml").touch()
    async with open_batch_with(out, [make_job()]) as batch:
        for config in ("imagen.yaml", None):
            request = RunRequest(out="out", manifest="m.yaml", config=config)
            log_beginning(OpenRun(request=request, batch=batch, number=1, settings=Settings()), logger)
    said, first, second = [record.getMessage() for record in caplog.records if record.name == logger.name], *PLACES
    assert [str(out) in said[0], first in said[0], second in said[1]] == [True] * 3
    assert ["is not used" in line for line in said] == [False, False, True]
