"""`imagen score`: the images of a batch through scores, the results into the ledger.

Only images that lack a score are looked at, and results are written as they come, so the same command goes on where
an interrupted one ended.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.core.errors import BatchStopped
from tasks.core.memory import split_chunks
from tasks.core.money import to_cap_micros
from tasks.core.records import JobState
from tasks.generate.batch import open_batch
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import require_ledger
from tasks.ledger.lock import lock_folder
from tasks.ledger.queries import count_jobs, read_job_pages
from tasks.ledger.runs import get_last_run
from tasks.ledger.scores import find_scored, record_scores
from tasks.metadata.write import write_metadata
from tasks.scores import load_score
from tasks.scores.base import Score, ScoreContext
from tasks.scores.findings import Findings, collect_findings
from tasks.scores.judge.judge import Again, Judge, open_judge
from tasks.scores.measure import Measured, Skipped, Todo, measure_images
from tasks.store.output import Output

WRITE_EVERY = 64
"""Images of one transaction: so few are looked at again after a kill."""
LEAST_THREADS = 4
"""Threads where there are fewer processors: an image in a bucket is waited for most of the time."""


@dataclass(slots=True)
class Scored:
    """Counts and findings of one `imagen score`."""

    images: int = 0
    """Images of the batch."""
    scored: int = 0
    """Images that got at least one result now."""
    skipped: dict[str, Skipped] = field(default_factory=dict)
    """By job_id: those that are missing or damaged."""
    findings: Findings = field(default_factory=Findings)
    judged: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each judge: calls by their end, those of earlier commands that have no answer too."""
    stopped: BatchStopped | None = None
    """Why the judges stopped early; what was answered before is kept."""

    def add_page(self, images: int, scored: Collection[str]) -> None:
        """Count a page's images, and those that a score or a judge looked at."""
        self.images += images
        self.scored += len(scored)

    def add_judges(self, judges: Mapping[str, Judge]) -> None:
        """Add what the judges came to, by their names."""
        for name, judge in judges.items():
            self.judged[name] = dict(judge.ends)
            self.skipped |= judge.skipped
            self.stopped = self.stopped or judge.batch.stop.cause


@dataclass(frozen=True, slots=True)
class Judging:
    """The things that judges need beside their names."""

    settings: Settings
    budget_usd: float | None = None
    """None: the cap of the batch's last run."""
    again: Again = field(default_factory=Again)
    caller: str = ""


async def score_batch(
    out: Output,
    names: Sequence[str],
    *,
    device: str | None = None,
    judges: Judging | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    clock: Clock | None = None,
) -> Scored:
    """Score what is new, bring the table up to date, and tell what the whole batch shows.

    Args:
        out: The batch.
        names: Scores that there are, each once; of judges too.
        device: See `ScoreContext`.
        judges: Settings that judges among the names need.
        on_progress: Gets the images that were looked at, and all.
        clock: For the time beside each result.

    Raises:
        OutputError: The ledger may only be read, or the storage cannot be reached.
        ConfigError: A score cannot be used. What was found before is kept.
    """
    async with AsyncExitStack() as stack:
        clock = clock or Clock()
        engine, asked = await _open(stack, out, names, judges, clock)
        scores = {name: load_score(name, ScoreContext(device)) for name in names if name not in asked}
        scored, total = Scored(), (await count_jobs(engine)).succeeded
        with Scoring.open(out, engine, clock, scored) as scoring:
            async for page in read_job_pages(engine):
                made = [row for row in page if row["state"] == JobState.SUCCEEDED]
                groups = [await scoring.score_page(group, made) for group in group_scores(scores)]
                groups += [await judge.judge_page(made) for judge in asked.values()]
                scored.add_page(len(made), frozenset().union(*groups))
                on_progress(scored.images, total)
        # Also where nothing is new: the last command may have been stopped before this.
        await write_metadata(engine, out)
        scored.findings = await collect_findings(engine)
        scored.add_judges(asked)
    return scored


async def _open(
    stack: AsyncExitStack, out: Output, names: Sequence[str], judging: Judging | None, clock: Clock
) -> tuple[AsyncEngine, dict[str, Judge]]:
    """The ledger; and the judges among the names, for which the batch is locked: a run beside them has the same budget."""
    wanted = [name for name in names if judging is not None and name in judging.settings.scores]
    if judging is None or not wanted:
        return await stack.enter_async_context(open_ledger(out.ledger_folder(), writing=True)), {}
    require_ledger(out.ledger_folder())
    stack.enter_context(lock_folder(out.home, shown=str(out)))
    engine = await stack.enter_async_context(open_ledger(out.ledger_folder(), writing=True, alone=True))
    before = await get_last_run(engine)
    inherited = None if before is None else before.start.budget_micros
    budget_micros = inherited if judging.budget_usd is None else to_cap_micros(judging.budget_usd)
    batch = await stack.enter_async_context(
        open_batch(out, engine, judging.settings, budget_micros=budget_micros, clock=clock, caller=judging.caller)
    )
    asked = {
        name: await stack.enter_async_context(open_judge(name, judging.settings.scores[name], batch, judging.again))
        for name in wanted
    }
    return engine, asked


def group_scores(scores: Mapping[str, Score]) -> Iterator[dict[str, Score]]:
    """Scores that share one decoding of each image, then each of the others alone."""
    if single := {name: score for name, score in scores.items() if score.batch == 1}:
        yield single
    yield from ({name: score} for name, score in scores.items() if score.batch > 1)


@dataclass(slots=True)
class Scoring:
    """One pass over a batch."""

    out: Output
    engine: AsyncEngine
    clock: Clock
    scored: Scored
    pool: ThreadPoolExecutor
    """For scores that several threads may use at once."""
    alone: ThreadPoolExecutor
    """One thread, for models."""

    @classmethod
    @contextmanager
    def open(cls, out: Output, engine: AsyncEngine, clock: Clock, scored: Scored) -> Iterator[Scoring]:
        """A pass with its threads, which end with the block."""
        pool = ThreadPoolExecutor(max(LEAST_THREADS, os.cpu_count() or 1))
        alone = ThreadPoolExecutor(1)
        try:
            yield cls(out, engine, clock, scored, pool, alone)
        finally:
            for each in (pool, alone):
                each.shutdown(cancel_futures=True)

    async def score_page(self, scores: Mapping[str, Score], page: Sequence[RowMapping]) -> set[str]:
        """Score the images of a page that lack one of these scores; gives the job ids of those that got one."""
        known = await find_scored(self.engine, [row["job_id"] for row in page])
        todo = [
            Todo(row, missing)
            for row in page
            if (missing := frozenset(name for name in scores if (row["job_id"], row["sha256"], name) not in known))
        ]
        size = max(score.batch for score in scores.values())
        found: set[str] = set()
        for part in split_chunks(todo, max(WRITE_EVERY, size)):
            found |= await self._score_part(scores, part, size)
        return found

    async def _score_part(self, scores: Mapping[str, Score], part: Sequence[Todo], size: int) -> set[str]:
        done: list[Measured] = []
        loop, pool = asyncio.get_running_loop(), self.pool if size == 1 else self.alone

        async def measure(some: Sequence[Todo]) -> None:
            done.append(await loop.run_in_executor(pool, measure_images, self.out, scores, some))

        try:
            await asyncio.gather(*(measure(some) for some in split_chunks(part, size)))
        # Also after Ctrl-C and a score that failed: what is done is kept.
        finally:
            rows = [row for measured in done for row in measured.rows]
            await record_scores(self.engine, rows, now_us=self.clock.now_us())
        self.scored.skipped |= {each.job_id: each for measured in done for each in measured.skipped}
        return {row.job_id for row in rows}
