"""Runs of a batch: start, end, settings, manifest, salt, budget and caller of each."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from pydantic import ValidationError
from sqlalchemy import RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import InputError
from tasks.ledger.database.schema import batch_identity, jobs, runs
from tasks.ledger.database.transactions import execute, fetch_mappings, fetch_rows

if TYPE_CHECKING:
    from tasks.core.configuration.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """Facts about a run, recorded before it does anything else."""

    manifest: str | None
    """As the user gave it; None on a resume."""
    salt: str | None
    """Salt of its plan; None on a resume, and until the whole plan is in the ledger."""
    budget_micros: int | None
    """Cap over the batch's whole life in millionths of a dollar; None: no cap."""
    settings: str
    """Configuration as JSON without secrets, so that a resume needs only the ledger."""
    caller: str
    deployment: str = ""
    """Name of the Prefect deployment that started it; empty where a person did."""
    list_prices: str = "{}"
    """The built-in prices of that time by model, as JSON: a later version of the program may have others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run and its outcome."""

    number: int
    start: RunStart
    started_at_us: int
    ended_at_us: int | None
    outcome: str | None
    frees_at_us: int | None = None
    """When what stopped it ends by itself; None where it does not, or nothing stopped it."""


async def begin_run(engine: AsyncEngine, start: RunStart, *, now_us: int) -> int:
    """Record the start of a run.

    Returns:
        The run's number, 1 for the batch's first.
    """
    async with engine.begin() as db:
        # Safe without a sequence: the caller holds the batch's lock.
        number = (await db.execute(select(func.coalesce(func.max(runs.c.number), 0)))).scalar_one() + 1
        values = {
            "number": number,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "manifest": start.manifest,
            "salt": start.salt,
            "budget_micros": start.budget_micros,
            "settings": start.settings,
            "list_prices": start.list_prices,
            "caller": start.caller,
            "deployment": start.deployment,
            "started_at_us": now_us,
        }
        await db.execute(insert(runs).values(values))
    return int(number)


async def record_plan(engine: AsyncEngine, number: int, salt: str, *, digest: str | None = None) -> None:
    """Record that the run's whole plan is in the ledger: from now on it says which jobs are wanted.

    Args:
        engine: The ledger.
        number: The run.
        salt: Its salt.
        digest: Of the plan, for `has_plan`; None for a part of a manifest.
    """
    await execute(engine, update(runs).where(runs.c.number == number).values(salt=salt, plan_digest=digest))


async def has_plan(engine: AsyncEngine, digest: str) -> bool:
    """True if the ledger's last plan is this one, and no later run has planned or selected a job."""
    last = select(runs.c.number, runs.c.plan_digest).where(runs.c.salt.is_not(None))
    planned = await fetch_rows(engine, last.order_by(runs.c.number.desc()).limit(1))
    if not planned or planned[0].plan_digest != digest:
        return False
    [(newest,)] = await fetch_rows(engine, select(func.max(jobs.c.planned_run)))
    return bool(newest == planned[0].number)


async def record_table(engine: AsyncEngine, number: int, state: str) -> None:
    """Record the state of the batch that `metadata.parquet` shows since this run."""
    await execute(engine, update(runs).where(runs.c.number == number).values(table_state=state))


async def get_table_state(engine: AsyncEngine) -> str | None:
    """The state that `metadata.parquet` showed when a run last wrote it; None where no run has."""
    written = select(runs.c.table_state).where(runs.c.table_state.is_not(None))
    found = await fetch_rows(engine, written.order_by(runs.c.number.desc()).limit(1))
    return str(found[0].table_state) if found else None


async def end_run(
    engine: AsyncEngine, number: int, outcome: str, *, now_us: int, frees_at_us: int | None = None
) -> None:
    """Record how a run ended: `completed`, `stopped: ...`, `interrupted`, `cancelled`.

    Args:
        engine: The ledger.
        number: The run's.
        outcome: Its end.
        now_us: Microseconds since 1970 UTC.
        frees_at_us: When what stopped it ends by itself, such as a cap's day; None where it does not.
    """
    values = {"outcome": outcome, "ended_at_us": now_us, "frees_at_us": frees_at_us}
    await execute(engine, update(runs).where(runs.c.number == number).values(values))


async def get_last_run(engine: AsyncEngine) -> RunRecord | None:
    """The newest run of the batch; None before the first."""
    # By number, not by time: a clock that was set back must not bring an older run's settings.
    found = await fetch_mappings(engine, select(runs).order_by(runs.c.number.desc()).limit(1))
    return _build_record(found[0]) if found else None


async def get_last_manifest(engine: AsyncEngine) -> str | None:
    """The manifest that the batch was planned from last, as the user gave it; None where it never was."""
    query = select(runs.c.manifest).where(runs.c.manifest.is_not(None)).order_by(runs.c.number.desc()).limit(1)
    found = await fetch_rows(engine, query)
    return None if not found else str(found[0][0])


async def list_runs(engine: AsyncEngine) -> list[RunRecord]:
    """All runs of the batch, the first one first."""
    return [_build_record(row) for row in await fetch_mappings(engine, select(runs).order_by(runs.c.number))]


def _build_record(row: RowMapping) -> RunRecord:
    start = RunStart(**{item.name: row[item.name] for item in fields(RunStart)})
    return RunRecord(
        number=row["number"],
        start=start,
        started_at_us=row["started_at_us"],
        ended_at_us=row["ended_at_us"],
        outcome=row["outcome"],
        frees_at_us=row["frees_at_us"],
    )


def parse_settings(run: RunRecord) -> Settings:
    """The settings that a run recorded.

    Raises:
        InputError: The ledger holds none that can be read.
    """
    # Its models take 25 ms to build, and `imagen status` needs none of them.
    from tasks.core.configuration.settings import Settings  # noqa: PLC0415

    try:
        return Settings.model_validate_json(run.start.settings)
    except ValidationError as exc:
        where = ".".join(map(str, exc.errors()[0]["loc"])) or "all of them"
        # The field's name only: a value could be a secret that another version wrote.
        raise InputError(
            f"the settings of run {run.number} in the ledger cannot be read ({where}); give yours with --config"
        ) from None


async def count_resumes(engine: AsyncEngine) -> int:
    """Number of runs after the last one with a manifest: the resumes.

    One that only met a cap is none: the next day may have room.
    """
    last_planned = select(func.coalesce(func.max(runs.c.number), 0)).where(runs.c.manifest.is_not(None))
    async with engine.connect() as db:
        later = runs.c.number > last_planned.scalar_subquery()
        counted = select(func.count()).where(later & runs.c.frees_at_us.is_(None))
        return int((await db.execute(counted)).scalar_one())


async def get_batch_identity(engine: AsyncEngine) -> str:
    """A name of the batch that no other batch has and that stays when its folder moves; 32 hex digits."""
    [(batch,)] = await fetch_rows(engine, select(batch_identity.c.batch))
    return str(batch)
