"""The jobs that compete, read from the ledger; and rerolls, written into it.

A reroll is a job of its own, named by the job that it replaces and a number: written twice, it is one job. Its series has a salt of
its own, so that a plan of the manifest neither withdraws nor repeats it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from sqlalchemy import ColumnElement, RowMapping, select, true, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.gates import Gates
from tasks.core.identity import derive_seed, hash_text, to_canonical_json
from tasks.core.memory import split_chunks
from tasks.core.records import Job, PlannedJob
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import execute, fetch_mappings, fetch_rows
from tasks.ledger.job_rows import build_job
from tasks.ledger.jobs import SERIES_WIDTH, is_wanted, write_plan
from tasks.ledger.open_jobs import IS_OPEN
from tasks.ledger.queries import IN_ORDER, PAGE_ROWS, come_after
from tasks.ledger.verdicts import SELECT_JOBS
from tasks.manifest.row_gates import RowGates
from tasks.plan.reroll import LINK, REROLL_SALT

GATE_SALT = "imagen:gate:"
"""Before the salt of the row; a colon, which no salt of `--salt` by date has."""
LEAST_SEARCHED = 32
"""Numbers of rerolls that are looked for in any case: an earlier rule may have allowed more than this one."""
REROLL_WIDTH = 2**15
"""Sort keys reserved for the rerolls of one job."""
SAMPLES_READ = 64
"""Rows of one read of a row's samples; most have fewer."""


@dataclass(slots=True)
class Pool:
    """Jobs that compete for the images that are asked for."""

    gates: Gates
    """The rule of its row."""
    originals: list[RowMapping]
    rerolls: list[RowMapping] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The job_id that its rerolls are named by."""
        return str(self.originals[0]["job_id"])

    def list_reroll_ids(self) -> list[str]:
        """Identities of all rerolls that it may have."""
        most = max(LEAST_SEARCHED, self.gates.count_wanted(len(self.originals)) * self.gates.reroll)
        return [compute_reroll_id(self.key, number) for number in range(1, most + 1)]


def compute_reroll_id(key: str, number: int) -> str:
    """Identity of the reroll with this number, from 1, of a pool."""
    return hash_text(to_canonical_json({LINK: key, "gate": number}))


def is_gated(row: RowMapping) -> bool:
    """True for a job of the manifest; rerolls, by gates or by hand, belong to one."""
    return row["salt"] != REROLL_SALT and not row["salt"].startswith(GATE_SALT)


async def read_by_ids(engine: AsyncEngine, job_ids: Sequence[str]) -> list[RowMapping]:
    """The jobs of these ids that the ledger has, with their scores, in any order."""
    found: list[RowMapping] = []
    for chunk in split_chunks(job_ids):
        found += await fetch_mappings(engine, SELECT_JOBS.where(jobs.c.job_id.in_(chunk)))
    return found


async def read_wanted_pages(engine: AsyncEngine) -> AsyncIterator[Sequence[RowMapping]]:
    """The manifest's jobs that the last plan wants, in its order; a page never ends within a row."""
    later: ColumnElement[bool] = true()
    rest: list[RowMapping] = []
    while True:
        query = SELECT_JOBS.where(is_wanted() & later).order_by(*IN_ORDER).limit(PAGE_ROWS)
        rows = await fetch_mappings(engine, query)
        if not rows:
            break
        later = come_after(rows[-1]["position"], rows[-1]["job_id"])
        rest += [row for row in rows if is_gated(row)]
        # The last row of the manifest in it may go on in the next page.
        last = [_get_row_key(row) for row in rest[-1:]]
        ended = [row for row in rest if _get_row_key(row) not in last]
        rest = [row for row in rest if _get_row_key(row) in last]
        if ended:
            yield ended
    if rest:
        yield rest


def split_pools(rows: Iterable[RowMapping], rules: RowGates) -> Iterator[Pool]:
    """The pools of some rows that are in manifest order.

    Raises:
        ConfigError: A row's rule is none with the run's.
    """
    for _, samples in groupby(rows, _get_row_key):
        found = list(samples)
        gates = rules.find_in_text(found[0]["extra"])
        if gates.keep is None:
            yield from (Pool(gates, [row]) for row in found)
        else:
            yield Pool(gates, found)


async def find_pool(engine: AsyncEngine, row: RowMapping, rules: RowGates) -> Pool | None:
    """The pool of a job; None where it belongs to none.

    Raises:
        ConfigError: Its row's rule is none with the run's.
    """
    if row["salt"].startswith(GATE_SALT):
        origin = build_job(row).extra.get(LINK)
        found = await read_by_ids(engine, [str(origin)])
        # Its row may have left the manifest.
        if not found or found[0]["withdrawn"]:
            return None
        row = found[0]
    if not is_gated(row):
        return None
    # Of the row itself: a reroll was written under the rule of its day.
    gates = rules.find_in_text(row["extra"])
    originals = [row] if gates.keep is None else await read_row_samples(engine, row)
    pool = Pool(gates, originals or [row])
    pool.rerolls = await read_by_ids(engine, pool.list_reroll_ids())
    return pool


async def read_row_samples(engine: AsyncEngine, row: RowMapping) -> list[RowMapping]:
    """The samples of a job's row, in their order."""
    first = row["position"] - row["sample"]
    found: list[RowMapping] = []
    while len(found) % SAMPLES_READ == 0:
        start = first + len(found)
        between = jobs.c.position.between(start, start + SAMPLES_READ - 1)
        # Jobs of an earlier plan may share sort keys; the last plan does not want them.
        mine = between & (jobs.c.position - jobs.c.sample == first) & (jobs.c.salt == row["salt"]) & is_wanted()
        part = await fetch_mappings(engine, SELECT_JOBS.where(mine).order_by(*IN_ORDER))
        if not part:
            break
        found += part
    return found


async def write_rerolls(engine: AsyncEngine, pool: Pool, number: int, *, run: int, now_us: int) -> None:
    """Write the next rerolls of a pool as open jobs of this run."""
    origin = pool.originals[0]
    samples = len(await read_row_samples(engine, origin)) or 1
    used = {row["job_id"] for row in pool.rerolls}
    free = (each for each in range(1, REROLL_WIDTH) if compute_reroll_id(pool.key, each) not in used)
    planned = [
        PlannedJob(_build_reroll(origin, pool, each, samples=samples), 0)
        for each, _ in zip(free, range(number), strict=False)
    ]
    await write_plan(engine, planned, run=run, salt=f"{GATE_SALT}{origin['salt']}", whole=False, now_us=now_us)


def _build_reroll(origin: RowMapping, pool: Pool, number: int, *, samples: int) -> Job:
    job = build_job(origin)
    identity = compute_reroll_id(pool.key, number)
    # Numbers after those of the row's samples, so that `{id}-{sample}` names one image only.
    sample = samples + number - 1 if len(pool.originals) > 1 else job.sample + samples * number
    return replace(
        job,
        job_id=identity,
        position=(job.position % SERIES_WIDTH) * REROLL_WIDTH + number,
        sample=sample,
        seed=derive_seed(identity),
        extra={**job.extra, LINK: job.job_id},
    )


async def adopt_rerolls(engine: AsyncEngine, job_ids: Sequence[str], *, run: int) -> None:
    """Make rerolls of earlier runs wanted by this one."""
    for chunk in split_chunks(job_ids):
        mine = jobs.c.job_id.in_(chunk)
        await execute(engine, update(jobs).where(mine).values(planned_run=run, withdrawn=False))


async def withdraw_rerolls(engine: AsyncEngine, salt: str, *, run: int) -> None:
    """Withdraw the rerolls of this salt that a whole plan has not adopted: their rows have left the manifest."""
    gone = (jobs.c.salt == f"{GATE_SALT}{salt}") & (jobs.c.planned_run != run) & jobs.c.withdrawn.is_(False)
    await execute(engine, update(jobs).where(gone).values(withdrawn=True))


async def find_open_rerolls(engine: AsyncEngine) -> frozenset[str]:
    """Rerolls that are still to be made."""
    mine = IS_OPEN & jobs.c.salt.startswith(GATE_SALT)
    return frozenset(row.job_id for row in await fetch_rows(engine, select(jobs.c.job_id).where(mine)))


def _get_row_key(row: RowMapping) -> tuple[str, int]:
    return row["salt"], row["position"] - row["sample"]
