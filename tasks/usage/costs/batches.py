"""Facts that only ledgers have: what reviews keep, what was reused, and why attempts cost something and gave no image."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import case, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import ImagenError
from tasks.core.records import JobState
from tasks.core.safe_text import error_text
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import SqliteFile, find_ledger
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.runs import get_batch_identity
from tasks.ledger.verdicts import SELECT_VERDICTS
from tasks.store.output import parse_output
from tasks.usage.push import read_models
from tasks.usage.rows import build_batch_name, get_identity_digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Attempts of one batch, model and kind that were billed and gave no image."""

    batch: str
    model: str
    kind: str
    attempts: int
    cost_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """A batch's images of a period, and their money."""

    batch: str
    images: int
    reused: int
    picked: int
    rejected: int
    cost_micros: int
    """Of all attempts that ended in the period."""
    cost_unknown: int
    failures: tuple[Failure, ...] = ()

    @property
    def is_judged(self) -> bool:
        """True if somebody judged at least one of the images."""
        return bool(self.picked or self.rejected)

    @property
    def kept(self) -> int:
        """Images worth their money: the picked ones; where a review only rejects, all others."""
        return self.picked or max(0, self.images - self.rejected)


@dataclass(slots=True)
class LocalBatches:
    """The facts that the ledgers of some folders have."""

    batches: list[BatchFacts] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """A line for each ledger that cannot be read, or is a copy of another one."""
    by_identity: dict[str, str] = field(default_factory=dict)
    """The output of each batch that was read; a copied folder is the same batch."""


async def read_batches(folders: Sequence[str], *, since_us: int) -> LocalBatches:
    """Read every batch in or below the folders; one that cannot be read is left out, and told."""
    found, seen = LocalBatches(), set()
    for folder in folders:
        is_empty = True
        try:
            for out in parse_output(folder).below():
                is_empty = False
                if out.address not in seen:
                    seen.add(out.address)
                    await _read_batch(found, out, since_us)
        except (ImagenError, OSError) as exc:
            found.skipped.append(f"{folder}: {error_text(exc, most_chars=200)}")
        else:
            # A mistyped folder would read as one in which nothing was reviewed.
            if is_empty:
                found.skipped.append(f"{folder}: no batch is there")
    return found


async def _read_batch(found: LocalBatches, out: object, since_us: int) -> None:
    try:
        place = find_ledger(parse_output(str(out)).ledger_folder())
        # A ledger that was not written since has nothing of the period: a year of nights is not opened for a month.
        if isinstance(place, SqliteFile) and not _is_written_since(place.path, since_us):
            return
        async with open_ledger(place) as engine:
            identity = await get_batch_identity(engine)
            if (first := found.by_identity.setdefault(identity, str(out))) != str(out):
                found.skipped.append(f"{out}: a copy of the batch in {first}, whose costs count once")
                return
            facts = await _read_facts(engine, build_batch_name(out, identity), since_us)
    except (ImagenError, SQLAlchemyError, OSError) as exc:  # one damaged ledger must not hide the others
        found.skipped.append(f"{out}: {error_text(exc, most_chars=200)}")
        return
    if facts.images or facts.cost_micros or facts.cost_unknown:
        found.batches.append(facts)


def _is_written_since(path: Path, since_us: int) -> bool:
    """True if the file or its log was changed since; a log may hold the newest commits."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return any(file.exists() and file.stat().st_mtime_ns >= since_us * 1_000 for file in files)


async def _read_facts(engine: AsyncEngine, name: str, since_us: int) -> BatchFacts:
    ended = attempts.c.ended_at_us >= since_us
    money = select(
        func.coalesce(func.sum(attempts.c.cost_micros), 0), func.count() - func.count(attempts.c.cost_micros)
    )
    made_since = (jobs.c.state == JobState.SUCCEEDED) & (jobs.c.completed_at_us >= since_us)
    judged = SELECT_VERDICTS.where(made_since).subquery()
    images = select(
        func.count(),
        func.count(judged.c.reused_from),
        func.count().filter(judged.c.verdict == "pick"),
        func.count().filter(judged.c.verdict == "reject"),
    ).select_from(judged)
    [(cost, unknown)] = await fetch_rows(engine, money.where(ended))
    [(made, reused, picked, rejected)] = await fetch_rows(engine, images)
    return BatchFacts(
        batch=name,
        images=made,
        reused=reused,
        picked=picked,
        rejected=rejected,
        cost_micros=int(cost),
        cost_unknown=int(unknown),
        failures=tuple([it async for it in _read_failures(engine, name, since_us)]),
    )


async def _read_failures(engine: AsyncEngine, name: str, since_us: int) -> AsyncIterator[Failure]:
    kind = func.coalesce(attempts.c.error_kind, attempts.c.state)
    paid = (attempts.c.state != JobState.SUCCEEDED) & (attempts.c.cost_micros > 0)
    # The attempt's backend was paid: the job may have gone on to another, and a judge has a model of its own.
    paid_model = case((attempts.c.backend == jobs.c.backend, jobs.c.model))
    query = select(attempts.c.backend, paid_model, kind, func.count(), func.sum(attempts.c.cost_micros)).join(
        jobs, jobs.c.job_id == attempts.c.job_id
    )
    found = await fetch_rows(
        engine,
        query.where(paid & (attempts.c.ended_at_us >= since_us)).group_by(attempts.c.backend, paid_model, kind),
    )
    models = await read_models(engine) if found else {}
    for backend, model, why, number, cost in found:
        yield Failure(
            batch=name,
            model=models.get(backend, "") if model is None else model,
            kind=why,
            attempts=number,
            cost_micros=int(cost),
        )


def list_failures(found: LocalBatches, others: Iterable[Failure]) -> list[Failure]:
    """The most expensive first; a batch that is not here is told by its usage rows, which have no reason."""
    # By identity: a folder that was renamed since has rows under its old name.
    here = {get_identity_digits(it.batch) for it in found.batches}
    mine = [failure for batch in found.batches for failure in batch.failures]
    return sorted(
        [*mine, *(it for it in others if get_identity_digits(it.batch) not in here)],
        key=lambda it: (-it.cost_micros, it.batch),
    )
