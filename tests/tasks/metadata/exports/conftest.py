"""A batch of images made by the real store, with texts that break careless writers."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from tasks.core.errors import Refused
from tasks.core.records import Job
from tasks.generate.jobs import generate_range
from tasks.metadata.write import write_metadata
from tasks.store.output.folder import OutputFolder
from tests.support.factories import FakeClock, make_job, open_batch_with
from tests.support.scripted_backend import ScriptedBackend

DIRTY = [
    '  "G I G G L E" painted,\nin ünïcode 🦊\t',
    "lone carriage\rreturn, and both\r\nhere",
    "; DROP TABLE jobs; -- ' '' \\ \\n %s {x} <b>&amp;</b>",
    "=cmd|' /C calc'!A0",
    "\ufeffmark, \u2028line, \x0bend",
    '"',
    "null",
]


def dirty_jobs() -> list[Job]:
    """One job for each dirty prompt; the last ones alone have the columns that may be null."""
    jobs = [make_job(number, prompt=prompt) for number, prompt in enumerate(DIRTY)]
    late = make_job(
        len(jobs) + 1, id="v1.5 fox", steps=4, negative_prompt="blur", aspect_ratio="1:1", extra={"tag": "x"}
    )
    return [*jobs, make_job(len(jobs), id="refused"), late]


async def make_batch(out: Path, jobs: list[Job], fetched: Mapping[str, bytes] | None = None) -> Path:
    """Run the jobs to their end; the one called `refused` is refused, those in `fetched` get these bytes."""
    backend = ScriptedBackend()
    for name, data in (fetched or {}).items():
        # Once for each sample of the row.
        backend.on_fetch[name].extend([data] * max(1, sum(job.id == name for job in jobs)))
    backend.on_wait["refused"] = deque([Refused("flagged")])
    async with open_batch_with(out, jobs, clock=FakeClock().clock) as batch:
        batch._backends["sketch"] = backend
        await generate_range(batch, 0, 100)
        await write_metadata(batch.engine, OutputFolder(out))
    return out


async def copy_made(made: Path, out: Path, make: Callable[[Path], Awaitable[object]]) -> Path:
    """A copy of the batch in the folder `made`, which the first test that asks makes: each test may change its own."""
    if not made.exists():
        half = made.with_suffix(".half") / out.name
        half.mkdir(parents=True)
        await make(half)
        half.rename(made)
    shutil.copytree(made, out, dirs_exist_ok=True)
    return out


@pytest.fixture(scope="session")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the batches that tests take copies of."""
    return tmp_path_factory.mktemp("batches")


@pytest.fixture
async def finished(batches: Path, out: Path) -> Path:
    """The folder of a batch: every dirty prompt, one refused, and one with what the first samples lack."""
    return await copy_made(batches / "dirty", out, lambda folder: make_batch(folder, dirty_jobs()))
