"""10,000 rows on their way while what takes them dies and comes back: each arrives, none twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.core.configuration.sections import UsageSettings
from tests.support.services.supabase import Supabase, UsageDatabase
from tests.support.waiting import PATIENCE_S
from tests.tasks.usage.ledgers import push, write_batch

ROWS = 10_000
PART = 3_000
AWAY_S = 1.0


async def _push_with_an_outage(
    out: Path, sink: UsageSettings, database: UsageDatabase, stop: Callable[[], None], start: Callable[[], None]
) -> None:
    """Push in the background; with a part of the rows there, take the service away for a second."""
    pushing = asyncio.create_task(push(out, sink))
    async with asyncio.timeout(PATIENCE_S):
        while (await database.count())[0] < PART:
            assert not pushing.done(), pushing.result()
    await asyncio.to_thread(stop)
    try:
        await asyncio.wait([pushing], timeout=AWAY_S)
        assert not pushing.done(), pushing.result()
    finally:
        await asyncio.to_thread(start)
    async with asyncio.timeout(PATIENCE_S):
        report = await pushing
    assert (report.pushed, report.pending, report.warning) == (ROWS, 0, None)
    assert await database.count() == (ROWS, ROWS)


@pytest.mark.soak
async def test_postgrest_killed_and_started_again(supabase: Supabase, tmp_path: Path) -> None:
    """SIGKILL in the middle of a push."""
    await write_batch(tmp_path, ROWS)
    sink = UsageSettings(sink="supabase", rest_path="")
    await _push_with_an_outage(tmp_path, sink, supabase.database, supabase.api.kill, supabase.api.start)


@pytest.mark.soak
@pytest.mark.parametrize("sink", [UsageSettings(sink="postgres"), UsageSettings(sink="supabase", rest_path="")])
async def test_postgresql_stopped_and_started_again(supabase: Supabase, tmp_path: Path, sink: UsageSettings) -> None:
    """The database goes away as in a crash, with and without PostgREST before it."""
    await write_batch(tmp_path, ROWS)
    server = supabase.database.server
    await _push_with_an_outage(tmp_path, sink, supabase.database, server.stop, server.start)
