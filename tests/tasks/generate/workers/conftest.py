"""A batch whose ledger is on the session's PostgreSQL, and whose run number 1 is that of a fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.generate.workers.start import begin_fleet
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import PostgresqlSchema, make_schema_name
from tasks.ledger.runs import RunStart, begin_run
from tests.support.factories import START_US
from tests.support.services.postgresql import PASSWORD, Postgresql

CAP_MICROS = 10
RUN = 1


@pytest.fixture
async def ledger(out: Path, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncEngine]:
    """The ledger of a batch with a cap of ten millionths of a dollar."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    place = PostgresqlSchema(out=out, url=postgresql.url(), schema=make_schema_name(out))
    start = RunStart(manifest="m", salt=None, budget_micros=CAP_MICROS, settings="{}", caller="test")
    async with open_ledger(place, create=True) as engine:
        assert await begin_run(engine, start, now_us=START_US) == RUN
        await begin_fleet(engine, run=RUN)
        yield engine
