"""What a run has left that was killed with SIGKILL, where a PostgreSQL server counts."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.ledger.accounts.caps.place import open_counting_place
from tasks.ledger.accounts.caps.reading import read_caps
from tasks.ledger.accounts.caps.recovery import settle_dead
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.postgresql_lock import is_held
from tasks.ledger.database.schema import jobs, runs
from tests.support.factories import make_job
from tests.support.forked_process import start_python
from tests.support.reserving import CAP_IMAGES, MOST_MICROS, RESERVING, build_settings, open_counted
from tests.support.services.postgresql import Postgresql
from tests.support.waiting import eventually_async
from tests.tasks.ledger.conftest import begin_on, server  # noqa: F401  a fixture

ROOT = Path(__file__).parents[5]
LEFT = 8
"""Attempts that the killed run had counted; one of them may have left."""


@contextmanager
def counting_process(out: Path, caller: str, caps_database: str = "") -> Iterator[subprocess.Popen[str]]:
    """A run that has counted its attempts."""
    words = (out, caller, str(LEFT), caps_database)
    with start_python(RESERVING, *words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "counted\n"
            yield process
        finally:
            process.kill()


async def read_reserved(out: Path, caller: str, caps_database: str | None = None) -> int:
    """The images that count as in flight, after the dead have been settled."""
    settings = build_settings(caller, caps_database)
    async with open_ledger(out) as engine, open_counting_place(settings, engine) as place:
        await settle_dead(place)
        [state] = await read_caps(place.writer, settings.caps, now_us=time.time_ns() // 1_000)
        return state.reserved.images


async def test_what_a_killed_run_on_a_server_never_sent_comes_back(tmp_path: Path, server: Postgresql) -> None:  # noqa: F811
    """Not while it lives, not while its workers may live, then at once for whoever needs it; what may have left stays."""
    killed, other, caller = tmp_path / "killed", tmp_path / "other", f"caller of {tmp_path}"
    for out in (killed, other):
        out.mkdir()
        await asyncio.to_thread(begin_on, server, out)
    with counting_process(killed, caller) as process:
        assert await read_reserved(other, caller) == LEFT
        process.kill()
    async with open_ledger(killed) as engine:
        await eventually_async(lambda: is_free(engine))
        async with engine.begin() as db:
            await db.execute(update(jobs).values(claimed_by="worker", lease_until_us=2**62))
        assert await read_reserved(other, caller) == LEFT
        async with engine.begin() as db:
            await db.execute(update(jobs).values(lease_until_us=1))
    async with open_counted(other, build_settings(caller), caller) as (_, caps):
        await caps.reserve(make_job(), MOST_MICROS, number=1, images=CAP_IMAGES - 1)
        assert await read_reserved(other, caller) == CAP_IMAGES
    assert await read_reserved(other, caller) == 1


@pytest.mark.parametrize("is_own", [True, False])
async def test_a_file_of_this_machine_is_asked_where_a_server_counts(
    tmp_path: Path,
    server: Postgresql,  # noqa: F811
    *,
    is_own: bool,
) -> None:
    """A ledger in a folder tells what its killed run never sent; one that another machine ran last is left to that one."""
    killed, other, caller, url = tmp_path / "killed", tmp_path / "other", f"caller of {tmp_path}", server.url()
    for out in (killed, other):
        out.mkdir()
    async with open_ledger(other, create=True):
        pass
    with counting_process(killed, caller, url) as process:
        assert await read_reserved(other, caller, url) == LEFT
        process.kill()
    async with open_ledger(killed) as engine, engine.begin() as db:
        values = {
            "number": 1,
            "pid": 1,
            "host": socket.gethostname() if is_own else "another",
            "settings": "{}",
            "caller": caller,
            "started_at_us": 1,
        }
        await db.execute(insert(runs).values(values))
    assert await read_reserved(other, caller, url) == (1 if is_own else LEFT)


async def is_free(engine: AsyncEngine) -> bool:
    """True once the server knows that the run is gone."""
    return not await is_held(engine)
