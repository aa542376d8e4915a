"""A storage that dies in the middle of a paid batch: what was paid for arrives, and nothing is paid for twice."""

from __future__ import annotations

import asyncio

import pytest

from tasks.core.clock import Clock
from tasks.core.records import Counts
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tasks.store.output import Output, parse_output
from tests.support.factories import make_job
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, ledger, open_scripted, run
from tests.support.services.object_storage import BUCKET, ObjectStorage
from tests.support.waiting import PATIENCE_S

JOBS = [make_job(number) for number in range(60)]
AWAY_S = 1.0


@pytest.fixture
def place(prefix: str) -> Output:
    """A place in rclone's bucket; its ledger's folder is there, as a run makes it."""
    place = parse_output(f"s3://{BUCKET}/{prefix}")
    place.home.mkdir(parents=True)
    return place


async def generate_with_an_outage(
    place: Output, backend: ScriptedBackend, storage: ObjectStorage, away_s: float
) -> Counts:
    """Generate; with some pictures there, kill the storage, and start it again after so long."""
    prefix = str(place).removeprefix(f"s3://{BUCKET}/")
    async with open_scripted(place, backend, JOBS, clock=Clock(), concurrency=8) as batch:
        generating = asyncio.create_task(generate_range(batch, *EVERYTHING))
        async with asyncio.timeout(PATIENCE_S):
            while len(storage.files(prefix)) < 10:
                assert not generating.done(), "it ended before the outage"
                await asyncio.sleep(0.01)
        storage.kill()
        await asyncio.wait([generating], timeout=away_s)
        await asyncio.to_thread(storage.start)
        await asyncio.wait_for(generating, PATIENCE_S)
        return await count_jobs(batch.engine)


async def test_a_storage_that_comes_back_costs_nothing(rclone: ObjectStorage, prefix: str, place: Output) -> None:
    """Killed and started again within the minute: every picture arrives, nobody has noticed."""
    backend = ScriptedBackend(latency_s=0.02)
    counts = await generate_with_an_outage(place, backend, rclone, AWAY_S)
    assert (counts.succeeded, counts.failed) == (len(JOBS), 0)
    assert set(backend.billed.values()) == {1}
    assert len(rclone.files(prefix)) == len(JOBS)


async def test_a_storage_that_stays_away_stops_and_keeps_what_was_paid(
    rclone: ObjectStorage, prefix: str, place: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No job fails: what was made stays `submitted`, the rest `planned`; a resume fetches it again and pays the rest only."""
    monkeypatch.setattr("tasks.store.output.bucket.PATIENCE_S", 0.5)
    backend = ScriptedBackend(latency_s=0.02)
    counts = await generate_with_an_outage(place, backend, rclone, away_s=PATIENCE_S)
    assert counts.failed == counts.held == 0
    assert counts.submitted > 0
    assert counts.planned > 0
    assert backend.billed.total() == counts.succeeded + counts.submitted
    again = await run(parse_output(str(place)), backend, JOBS)
    assert again.succeeded == len(JOBS)
    assert (len(backend.billed), set(backend.billed.values())) == (len(JOBS), {1})
    files = {str(name) for (name,) in ledger(place.home, "SELECT file_name FROM jobs")}
    assert set(rclone.files(prefix)) == files
