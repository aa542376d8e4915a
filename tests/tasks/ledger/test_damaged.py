"""A ledger that somebody else made, or that is damaged: one clear error, and nothing outside its folder is touched."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tasks.core.errors import BatchStopped, InputError
from tasks.core.records import EndedFilter, JobState
from tasks.ledger.database import soundness
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import PostgresqlSchema, make_schema_name
from tasks.ledger.lock import HOLDER_NAME, lock_folder
from tasks.ledger.open_jobs import find_open_jobs
from tasks.ledger.queries import count_jobs, read_ended_pages
from tasks.ledger.runs import RunRecord, RunStart, begin_run, parse_settings
from tests.support.factories import START_US, make_job, plan_jobs
from tests.support.services.postgresql import Postgresql

DAMAGES = {
    "a state": "UPDATE jobs SET state = 'gone'",
    "options that are no JSON": "UPDATE jobs SET backend_opts = '{'",
    "options nested too deep": f"UPDATE jobs SET backend_opts = '{'[' * 100_000}'",
    "no options": "UPDATE jobs SET backend_opts = x'ff'",
}


async def read_all(out: Path) -> None:
    """Read what commands read."""
    async with open_ledger(out) as engine:
        await count_jobs(engine)
        await find_open_jobs(engine, 0, 2**62)
        [_ async for _ in read_ended_pages(engine, EndedFilter(frozenset(JobState)))]


@pytest.mark.parametrize("statement", DAMAGES.values(), ids=DAMAGES)
async def test_damaged_values_are_one_clear_error(statement: str, tmp_path: Path) -> None:
    """No traceback: the message says that the ledger is damaged."""
    async with open_ledger(tmp_path, create=True) as engine:
        await plan_jobs(engine, [make_job()])
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute(statement)
    db.close()
    with pytest.raises(InputError, match="the ledger is damaged"):
        await read_all(tmp_path)


async def test_json_is_read_only_where_there_is_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command checks the whole ledger: the empty objects of a year's rows cost no call of Python."""
    read: list[bytes] = []

    def note(data: bytes) -> bool:
        read.append(data)
        return True

    monkeypatch.setattr(soundness, "_is_json", note)
    async with open_ledger(tmp_path, create=True) as engine:
        await plan_jobs(engine, [make_job(0), make_job(1), make_job(2, backend_opts={"steps": 4})])
    async with open_ledger(tmp_path):
        assert read == [b'{"steps": 4}']


ON_POSTGRESQL = {
    "jobs.attempts": "-1",
    "jobs.bytes": "-5",
    "jobs.predict_time_s": "'NaN'",
    "jobs.completed_at_us": "253402300800000000",
    "jobs.state": "'gone'",
    "jobs.backend_opts": "'{'",
    "jobs.extra": "'[]'",
    "jobs.prompt": "repeat('x', 70000000)",
    "runs.budget_micros": "-1",
}


@pytest.mark.parametrize("column", ON_POSTGRESQL)
async def test_damaged_values_on_postgresql_are_one_clear_error(
    column: str, server: Postgresql, tmp_path: Path
) -> None:
    """The columns' types let them pass; the message names the table, the column and the row."""
    place = PostgresqlSchema(out=tmp_path, url=server.url(), schema=make_schema_name(tmp_path))
    table, name = column.split(".")
    async with open_ledger(place, create=True) as engine:
        await plan_jobs(engine, [make_job()])
        start = RunStart(manifest="m", salt="", budget_micros=None, settings="{}", caller="me")
        await begin_run(engine, start, now_us=START_US)
        await read_all(tmp_path)
        async with engine.begin() as db:
            await db.exec_driver_sql(f"UPDATE {table} SET {name} = {ON_POSTGRESQL[column]}")
    with pytest.raises(InputError, match=rf"the ledger is damaged: {table}\.{name} of (job|run) \w+ is "):
        await read_all(tmp_path)


@pytest.mark.parametrize("rows", ["", " WHERE prompt IS NOT NULL"])
async def test_an_index_without_its_rows_is_one_clear_error(rows: str, tmp_path: Path) -> None:
    """Read through it a batch has no images, or a prediction belongs to nobody and is taken twice."""
    async with open_ledger(tmp_path, create=True) as engine:
        await plan_jobs(engine, [make_job()])
    index = "CREATE INDEX jobs_state_position ON jobs (state, position)"
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("DROP INDEX jobs_state_position")
        # Made without any row, and then written down as one that has them.
        db.execute(f"{index} WHERE position < 0")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'jobs_state_position'", [index + rows])
    db.close()
    with pytest.raises(InputError, match="the ledger is damaged: the index jobs_state_position "):
        await read_all(tmp_path)


async def test_a_file_with_damaged_pages_is_one_clear_error(tmp_path: Path) -> None:
    """SQLite calls it malformed."""
    async with open_ledger(tmp_path, create=True) as engine:
        await plan_jobs(engine, [make_job(n) for n in range(200)])
    path = tmp_path / "ledger.db"
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(byte ^ 0x5A for byte in data[4096:])
    path.write_bytes(data)
    with pytest.raises((InputError, BatchStopped), match=r"damaged|not a ledger"):
        await read_all(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"default_backend": "none"}', '{"backends": 7}'])
def test_damaged_settings_are_one_clear_error(text: str) -> None:
    """The message says to give a configuration."""
    start = RunStart(manifest=None, salt=None, budget_micros=None, settings=text, caller="me")
    run = RunRecord(number=3, start=start, started_at_us=0, ended_at_us=None, outcome=None)
    with pytest.raises(InputError, match=r"settings of run 3.*--config"):
        parse_settings(run)


def test_the_holders_name_is_not_written_through_a_link(tmp_path: Path) -> None:
    """A folder that somebody else made leads to a file of the user's: the file stays as it is, and is not shown."""
    out, victim = tmp_path / "out", tmp_path / "victim"
    out.mkdir()
    victim.write_text("mine")
    (out / HOLDER_NAME).symlink_to(victim)
    with lock_folder(out):
        assert not (out / HOLDER_NAME).is_symlink()
    assert victim.read_text() == "mine"
