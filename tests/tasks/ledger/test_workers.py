"""Worker processes that are killed or stopped: others go on with their jobs, and nothing is made or written twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tests.support.factories import make_job, plan_jobs
from tests.support.forked_process import start_python
from tests.support.waiting import PATIENCE_S, eventually
from tests.tasks.ledger.conftest import on_disk
from tests.tasks.ledger.worker import WORKER

Start = Callable[[float], subprocess.Popen[str]]
"""Starts a worker, given the seconds that an image takes."""
JOBS = 40
LEASE_S = 3600
"""Longer than any test: a lease ends when the test ends it, however slow the machine is."""
HELD = "SELECT job_id, claimed_by, state FROM jobs WHERE state IN ('planned', 'submitting', 'submitted') AND claimed_by IS NOT NULL ORDER BY position"
STATES = "SELECT state, count(*) FROM jobs GROUP BY 1 ORDER BY 1"
SUCCESSES = "SELECT count(*), count(DISTINCT job_id) FROM attempts WHERE state = 'succeeded'"


@pytest.fixture
def start(batch: Path) -> Iterator[Start]:
    """Starts a worker process on the whole batch; those that still run are killed at the end."""
    workers: list[subprocess.Popen[str]] = []

    def start_worker(latency_s: float) -> subprocess.Popen[str]:
        words, pipe = ("generate", batch, str(LEASE_S), str(latency_s)), subprocess.PIPE
        workers.append(start_python(WORKER, *words, stdout=pipe, stderr=pipe))
        return workers[-1]

    yield start_worker
    for worker in workers:
        worker.kill()
        worker.communicate()


def look(out: Path, query: str) -> list[tuple[Any, ...]]:
    """What the ledger has now."""
    return asyncio.run(on_disk(out, query))


def wait_until(out: Path, query: str, worker: subprocess.Popen[str]) -> None:
    """Wait until the query finds something."""
    eventually(lambda: look(out, query) or worker.poll())
    assert look(out, query), f"never came true: {query}; {worker.communicate()}"


@pytest.fixture
def batch(out: Path) -> Path:
    """A planned batch."""

    async def plan() -> None:
        async with open_ledger(out, create=True) as engine:
            await plan_jobs(engine, [make_job(number) for number in range(JOBS)])

    asyncio.run(plan())
    return out


async def end_leases(out: Path) -> None:
    """End the lease of every worker now, as its time would."""
    async with open_ledger(out) as engine, engine.begin() as db:
        await db.execute(update(jobs).values(lease_until_us=1))


def finished(worker: subprocess.Popen[str]) -> int:
    """How many images the worker made, once it has ended well."""
    said, errors = worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == 0, errors
    return int(said.split()[1])


def test_a_killed_worker_is_taken_over_when_its_leases_end(batch: Path, start: Start) -> None:
    """Another worker does every free job, leaves those of the dead one alone, and does them once their leases end."""
    worker = start(1.0)
    wait_until(batch, "SELECT 1 FROM jobs WHERE state = 'succeeded'", worker)
    worker.kill()
    worker.communicate()
    held = look(batch, HELD)
    other = start(0.0)
    wait_until(
        batch,
        f"SELECT 1 FROM jobs WHERE state = 'succeeded' GROUP BY state HAVING count(*) = {JOBS - len(held)}",
        other,
    )
    assert held
    assert look(batch, HELD) == held
    asyncio.run(end_leases(batch))
    finished(other)
    assert look(batch, STATES) == [("succeeded", JOBS)]
    assert look(batch, SUCCESSES) == [(JOBS, JOBS)]


@pytest.mark.parametrize("out", ["postgresql"], indirect=True)  # stopped while it writes, it would lock all of SQLite
def test_a_stopped_worker_that_comes_back_changes_nothing(batch: Path, start: Start) -> None:
    """Wherever it was stopped, in a transaction too, another worker does all its jobs; then it sends and writes nothing."""
    worker = start(1.0)
    wait_until(batch, "SELECT 1 FROM jobs WHERE state = 'succeeded'", worker)
    worker.send_signal(signal.SIGSTOP)
    try:
        asyncio.run(end_leases(batch))
        finished(start(0.0))
        everything = (
            look(batch, "SELECT * FROM jobs ORDER BY position"),
            look(batch, "SELECT * FROM attempts ORDER BY 1, 2"),
        )
    finally:
        worker.send_signal(signal.SIGCONT)
    assert finished(worker) < JOBS
    assert look(batch, SUCCESSES) == [(JOBS, JOBS)]
    assert everything == (
        look(batch, "SELECT * FROM jobs ORDER BY position"),
        look(batch, "SELECT * FROM attempts ORDER BY 1, 2"),
    )


def test_two_workers_share_a_batch(batch: Path, start: Start) -> None:
    """Side by side on the same range they make each picture once."""
    workers = [start(0.05) for _ in range(2)]
    assert sum(map(finished, workers)) == JOBS
    assert look(batch, SUCCESSES) == [(JOBS, JOBS)]
