"""`imagen reroll`: one image once more, as a job of its own beside the one that it came from.

Takes a job that has ended, and another seed or prompt; gives a new job with its own identity, seed, price and record.
What was paid for stays: the old image keeps its file and its row. The new job belongs to a series of its own, so
that a run of the manifest neither withdraws it nor makes it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import InputError
from tasks.core.identity import derive_seed, hash_text, normalize_prompt, to_canonical_json
from tasks.core.records import OPEN_STATES, Job, JobState, PlannedJob
from tasks.ledger.job_rows import job_from_row
from tasks.ledger.jobs import SERIES_WIDTH, write_plan
from tasks.ledger.lookup import find_ids_holding, find_job_rows, find_jobs_by_salt

REROLL_SALT = "imagen:reroll"  # a colon, which no salt of `--salt` by date has
_MARK = "-r"
"""Stands between the id of an image and the number of its reroll."""
LINK = "rerolled_from"
"""Key of `extra` that holds the job_id of the image that a reroll came from."""


@dataclass(frozen=True, slots=True)
class Reroll:
    """The user's request; plain values, as they travel through Prefect."""

    source: str
    """The job_id of the image that it comes from."""
    seed: int | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedReroll:
    """The job that a reroll means now."""

    job: Job
    state: JobState | None
    """Of the very same reroll, asked for before; None: it is new."""

    @property
    def is_to_do(self) -> bool:
        """True if there is anything to make; what has ended is not paid for again."""
        return self.state is None or self.state.is_open


async def plan_reroll(engine: AsyncEngine, reroll: Reroll) -> PlannedReroll:
    """The job to make; nothing is written.

    The same seed and prompt again mean the same job. With neither, a reroll that is still open is gone on with, else
    the next derived seed is taken.

    Raises:
        InputError: The image has not been made yet, or nothing of it would change.
    """
    return (await plan_rerolls(engine, [reroll]))[0]


async def plan_rerolls(engine: AsyncEngine, rerolls: Sequence[Reroll]) -> list[PlannedReroll]:
    """The jobs to make, each as `plan_reroll` has it; nothing is written.

    Raises:
        InputError: See `plan_reroll`.
    """
    known = {row.job_id: row for row in await find_jobs_by_salt(engine, REROLL_SALT)}
    sources = await find_job_rows(engine, [reroll.source for reroll in rerolls])
    # Read once: a thousand rerolls would ask a thousand times.
    taken = set(await find_ids_holding(engine, _MARK))
    planned: list[PlannedReroll] = []
    for reroll in rerolls:
        source = sources[reroll.source]
        _check(source, reroll)
        identity = _find_identity(reroll, known)
        if (row := known.get(identity)) is not None:
            # `write_plan` adds the salt's base to it once more.
            again = replace(job_from_row(row), position=row.position % SERIES_WIDTH)
            planned.append(PlannedReroll(again, JobState(row.state)))
            continue
        name = _find_free_id(source, taken)
        taken.add(name)
        # After the rerolls before it.
        job = _build_job(reroll, job_from_row(source), identity, name, position=len(known) + len(planned))
        planned.append(PlannedReroll(job, None))
    return planned


def _build_job(reroll: Reroll, origin: Job, identity: str, name: str, *, position: int) -> Job:
    return replace(
        origin,
        job_id=identity,
        position=position,
        id=name,
        sample=0,
        prompt=origin.prompt if reroll.prompt is None else reroll.prompt,
        seed=_choose_seed(reroll, origin, identity),
        extra={**origin.extra, LINK: origin.job_id},
    )


async def write_rerolls(engine: AsyncEngine, rerolls: Sequence[Reroll], *, run: int, now_us: int) -> None:
    """Put the jobs into the ledger as one plan of this run.

    Raises:
        InputError: See `plan_reroll`; nothing is written.
    """
    jobs = [PlannedJob(planned.job, 0) for planned in await plan_rerolls(engine, rerolls)]
    if jobs:
        await write_plan(engine, jobs, run=run, salt=REROLL_SALT, whole=False, now_us=now_us)


async def find_rerolled(engine: AsyncEngine) -> frozenset[str]:
    """The job ids of the images that have a reroll, so that asking twice pays once."""
    known = await find_jobs_by_salt(engine, REROLL_SALT)
    # An open one was asked for and not made; it is gone on with.
    links = (job_from_row(row).extra.get(LINK) for row in known if row.state not in OPEN_STATES)
    return frozenset(link for link in links if isinstance(link, str))


async def list_rerolls(engine: AsyncEngine, job_id: str) -> list[str]:
    """Ids of the rerolls that came from this image, the first one first."""
    known = await find_jobs_by_salt(engine, REROLL_SALT)
    mine = [row for row in known if job_from_row(row).extra.get(LINK) == job_id]
    return [row.id for row in sorted(mine, key=lambda row: row.position)]


def _check(source: Row[Any], reroll: Reroll) -> None:
    name = source.id or source.job_id[:12]
    if source.state in OPEN_STATES:
        raise InputError(f"{name} is {source.state}: it has not been made yet; go on with the batch first")
    if reroll.prompt is not None and not normalize_prompt(reroll.prompt):
        raise InputError("--prompt is empty")
    same_prompt = reroll.prompt is None or normalize_prompt(reroll.prompt) == normalize_prompt(source.prompt)
    if same_prompt and (reroll.seed == source.seed or (reroll.seed is None and reroll.prompt is not None)):
        raise InputError(f"{name} has this prompt and seed {source.seed} already; give another --seed or --prompt")


def _find_identity(reroll: Reroll, known: Mapping[str, Row[Any]]) -> str:
    if reroll.seed is not None or reroll.prompt is not None:
        return _compute_identity(reroll, 0)
    # Without a seed or a prompt the wish is "another one", so each time it is a new job.
    number = 0
    while (row := known.get(_compute_identity(reroll, number))) is not None and row.state not in OPEN_STATES:
        number += 1
    return _compute_identity(reroll, number)


def _compute_identity(reroll: Reroll, number: int) -> str:
    """Build the identity: the original decides everything that the reroll does not change."""
    prompt = None if reroll.prompt is None else normalize_prompt(reroll.prompt)
    return hash_text(to_canonical_json({LINK: reroll.source, "seed": reroll.seed, "prompt": prompt, "number": number}))


def _choose_seed(reroll: Reroll, origin: Job, identity: str) -> int:
    if reroll.seed is not None:
        return reroll.seed
    # Under its own seed, the difference between two prompts is that of their words.
    return derive_seed(identity) if reroll.prompt is None else origin.seed


def _find_free_id(source: Row[Any], taken: AbstractSet[str]) -> str:
    """`fox-r1`, `fox-r2`, ...: a name for the next reroll, whichever of the foxes it comes from."""
    stem = source.id or source.job_id[:12]
    if source.salt == REROLL_SALT:
        stem = re.sub(rf"{_MARK}\d+$", "", stem)
    number = 1
    while f"{stem}{_MARK}{number}" in taken:
        number += 1
    return f"{stem}{_MARK}{number}"
