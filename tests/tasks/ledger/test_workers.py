"""Worker processes that are killed or stopped: others go on with their jobs, and nothing is made or written twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tests.support.factories import make_job, plan_jobs
from tests.tasks.ledger.conftest import on_disk

ROOT = Path(__file__).parents[3]
JOBS = 40
PATIENCE_S = 60.0
STATES = "SELECT state, count(*) FROM jobs GROUP BY 1 ORDER BY 1"
SUCCESSES = "SELECT count(*), count(DISTINCT job_id) FROM attempts WHERE state = 'succeeded'"


def start(out: Path, *, lease_s: float, latency_s: float) -> subprocess.Popen[str]:
    """A worker on the whole batch."""
    command = [sys.executable, "-m", "tests.tasks.ledger.worker", "generate", str(out), str(lease_s), str(latency_s)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def look(out: Path, query: str) -> list[tuple[Any, ...]]:
    """What the ledger has now."""
    return asyncio.run(on_disk(out, query))


def wait_until(out: Path, query: str, worker: subprocess.Popen[str]) -> None:
    """Wait until the query finds something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and worker.poll() is None:
        if look(out, query):
            return
        time.sleep(0.02)
    worker.kill()
    pytest.fail(f"never came true: {query}; {worker.communicate()}")


@pytest.fixture
def batch(out: Path) -> Path:
    """A planned batch."""

    async def plan() -> None:
        async with open_ledger(out, create=True) as engine:
            await plan_jobs(engine, [make_job(number) for number in range(JOBS)])

    asyncio.run(plan())
    return out


async def let_leases_end(out: Path) -> None:
    """Let the lease time of every worker be over."""
    async with open_ledger(out) as engine, engine.begin() as db:
        await db.execute(update(jobs).values(lease_until_us=1))


def finish(out: Path, *, lease_s: float) -> None:
    """Another worker does what is free."""
    other = start(out, lease_s=lease_s, latency_s=0.0)
    _, errors = other.communicate(timeout=PATIENCE_S)
    assert other.returncode == 0, errors


def stop_between_commits(out: Path, worker: subprocess.Popen[str]) -> None:
    """Stop it while it holds no row; the other case is one of `test_outage`."""
    in_a_commit = "SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    worker.send_signal(signal.SIGSTOP)
    while look(out, in_a_commit):
        worker.send_signal(signal.SIGCONT)
        time.sleep(0.01)
        worker.send_signal(signal.SIGSTOP)


def test_a_killed_worker_is_taken_over_when_its_leases_end(batch: Path) -> None:
    """Before that nobody touches its jobs; then all are done, each with one picture."""
    worker = start(batch, lease_s=60, latency_s=0.3)
    wait_until(batch, "SELECT 1 FROM jobs WHERE state = 'succeeded'", worker)
    worker.kill()
    worker.communicate()
    left = look(batch, STATES)
    finish(batch, lease_s=60)
    assert look(batch, STATES) == left
    asyncio.run(let_leases_end(batch))
    finish(batch, lease_s=60)
    assert look(batch, STATES) == [("succeeded", JOBS)]
    assert look(batch, SUCCESSES) == [(JOBS, JOBS)]


@pytest.mark.parametrize("out", ["postgresql"], indirect=True)  # stopped while it writes, it would lock all of SQLite
def test_a_stopped_worker_that_comes_back_changes_nothing(batch: Path) -> None:
    """Its leases ended while it slept and another worker did the jobs: it sends nothing, writes nothing and ends."""
    worker = start(batch, lease_s=3, latency_s=0.3)
    wait_until(batch, "SELECT 1 FROM jobs WHERE state = 'succeeded'", worker)
    stop_between_commits(out=batch, worker=worker)
    try:
        time.sleep(3.5)
        finish(batch, lease_s=60)
        everything = (
            look(batch, "SELECT * FROM jobs ORDER BY position"),
            look(batch, "SELECT * FROM attempts ORDER BY 1, 2"),
        )
    finally:
        worker.send_signal(signal.SIGCONT)
    said, errors = worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == 0, errors
    assert int(said.split()[1]) < JOBS
    assert look(batch, SUCCESSES) == [(JOBS, JOBS)]
    assert everything == (
        look(batch, "SELECT * FROM jobs ORDER BY position"),
        look(batch, "SELECT * FROM attempts ORDER BY 1, 2"),
    )


def test_two_workers_share_a_batch(batch: Path) -> None:
    """Side by side on the same range they make each picture once."""
    workers = [start(batch, lease_s=60, latency_s=0.05) for _ in range(2)]
    ends = [worker.communicate(timeout=PATIENCE_S) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], ends
    assert sum(int(said.split()[1]) for said, _ in ends) == JOBS
    assert look(batch, SUCCESSES) == [(JOBS, JOBS)]
