"""The gate of one run: each image is scored as it lands, its pool is decided, and rerolls are written within the budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import RowMapping

from tasks.core.errors import BatchStopped, ImagenError
from tasks.core.gates import Gates, sum_judge_prices
from tasks.core.records import Job, JobState
from tasks.core.text import format_count
from tasks.generate.batch import Batch
from tasks.ledger.job_rows import build_job
from tasks.ledger.scores import KEPT, ScoreRow, parse_results, record_scores
from tasks.scores import load_score
from tasks.scores.base import Score, ScoreContext
from tasks.scores.gates.pools import (
    Pool,
    adopt_rerolls,
    find_open_rerolls,
    find_pool,
    read_by_ids,
    read_wanted_pages,
    split_pools,
    withdraw_rerolls,
    write_rerolls,
)
from tasks.scores.gates.purse import compute_purse
from tasks.scores.gates.row_rules import Rules, open_rules
from tasks.scores.gates.rule import Decision, Rule, spell_result
from tasks.scores.judge.judge import JUDGED, Again, Judge, open_judge
from tasks.scores.score_batch import Scored, Scoring, group_scores


@dataclass(slots=True)
class RunGate:
    """See `tasks.generate.batch.Gate`."""

    batch: Batch
    rules: Rules
    scoring: Scoring
    groups: Sequence[Mapping[str, Score]]
    judges: Mapping[str, Judge]
    run: int
    purse_micros: int | None
    """The most that rerolls may cost beyond the jobs that are open; None: there is no cap."""
    missing: int = 0
    _open: frozenset[str] = frozenset()
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def land(self, job: Job) -> None:
        """Score the image that a job has just made, decide its pool, and write the rerolls that are due."""
        try:
            [row] = await read_by_ids(self.batch.engine, [job.job_id])
            pool = await find_pool(self.batch.engine, row, self.rules.gates)
            gates = self.rules.gates.run if pool is None else pool.gates
            await self._score({job.job_id: self.rules.get(gates)})
            if pool is None:
                return
            # Two images of one row may land at once, and each would write the same rerolls.
            async with self._locks.setdefault(pool.key, asyncio.Lock()):
                # Read again inside: the other one may have decided meanwhile.
                pool = await find_pool(self.batch.engine, row, self.rules.gates)
                if pool is not None:
                    await self._settle_pools([pool], is_scored=False)
        except BatchStopped as stopped:
            self.batch.stop.stop(stopped)
        except ImagenError as exc:
            # The image is stored and paid for. What follows would be decided by a score that fails.
            self.batch.stop.stop(BatchStopped("score", f"{exc}. The images are kept. Correct the score, then resume"))

    async def settle(self) -> bool:
        """Decide every pool once more, with all the money that is left; True while rerolls are open."""
        if self.batch.stop.requested:
            return False
        await self.settle_all()
        before, self._open = self._open, await find_open_rerolls(self.batch.engine)
        # The same ones as after the last pass could not be ended there, and would not be in another one.
        return self._open not in (before, frozenset()) and not self.batch.stop.requested

    async def settle_all(self, *, whole_salt: str | None = None, adopts: bool = False) -> None:
        """Decide every pool of the last plan.

        Args:
            whole_salt: A whole manifest of this salt was planned, so rerolls of rows that it lacks are withdrawn.
            adopts: A manifest was planned: rerolls of earlier runs are wanted by this one.
        """
        self.missing = 0
        if adopts:
            # First of all, because the purse leaves the money of open jobs alone.
            async for page in read_wanted_pages(self.batch.engine):
                ids = [each for pool in split_pools(page, self.rules.gates) for each in pool.list_reroll_ids()]
                await adopt_rerolls(self.batch.engine, ids, run=self.run)
        if self.judges:
            # Before the purse is counted: an earlier run may have left images that no judge has seen.
            async for page in read_wanted_pages(self.batch.engine):
                await self._score({r["job_id"]: self.rules.find(r) for r in page if r["state"] == JobState.SUCCEEDED})
        for judge in self.judges.values():
            # Everything is looked at again, and what has no answer counted again.
            judge.ends.clear()
            judge.skipped.clear()
        if self.purse_micros is not None:
            self.purse_micros = await compute_purse(self.batch, self.rules.gates)
        async for page in read_wanted_pages(self.batch.engine):
            await self._settle_page(page)
        if whole_salt is not None:
            await withdraw_rerolls(self.batch.engine, whole_salt, run=self.run)

    async def _settle_page(self, page: Sequence[RowMapping]) -> None:
        pools = list(split_pools(page, self.rules.gates))
        ids = {pool.key: pool.list_reroll_ids() for pool in pools}
        known = await read_by_ids(self.batch.engine, [each for some in ids.values() for each in some])
        made = {row["job_id"]: row for row in known}
        for pool in pools:
            pool.rerolls = [made[each] for each in ids[pool.key] if each in made]
        images = {
            row["job_id"]: self.rules.get(pool.gates)
            for pool in pools
            for row in (*pool.originals, *pool.rerolls)
            if row["state"] == JobState.SUCCEEDED
        }
        fresh = {row["job_id"]: row for row in await self._score(images)}
        for pool in pools:
            pool.originals = [fresh.get(row["job_id"], row) for row in pool.originals]
            pool.rerolls = [fresh.get(row["job_id"], row) for row in pool.rerolls]
        await self._settle_pools(pools, is_scored=True)

    async def _score(self, wanted: Mapping[str, Rule]) -> list[RowMapping]:
        """The jobs with the scores that their rules need; what has them already is not looked at again."""
        rows = await read_by_ids(self.batch.engine, list(wanted))
        found = [await self._measure(rule, mine) for rule, mine in _split_by_rule(rows, wanted)]
        rows = await read_by_ids(self.batch.engine, list(wanted)) if any(found) else rows
        if not self.judges:
            return rows
        found = [await self._ask_judges(rule, mine) for rule, mine in _split_by_rule(rows, wanted)]
        return await read_by_ids(self.batch.engine, list(wanted)) if any(found) else rows

    async def _measure(self, rule: Rule, rows: Sequence[RowMapping]) -> bool:
        mine = [{name: score for name, score in group.items() if name in rule.scores} for group in self.groups]
        return any([await self.scoring.score_page(group, rows) for group in mine if group])

    async def _ask_judges(self, rule: Rule, rows: Sequence[RowMapping]) -> bool:
        mine = [judge for name, judge in self.judges.items() if name in rule.scores]
        # No dollars for an image that is rejected in any case.
        decided = rule.find_rejected(rows) if mine and rule.is_certain else set()
        asked = [row for row in rows if row["job_id"] not in decided]
        return any([await judge.judge_page(asked) for judge in mine])

    def list_unanswered(self) -> list[str]:
        """A sentence for each judge that has given no answer about some images."""
        found = []
        for name, judge in self.judges.items():
            kinds = {kind: number for kind, number in judge.ends.items() if kind != JUDGED}
            kinds |= {"not asked": len(judge.skipped)} if judge.skipped else {}
            if kinds:
                images = format_count(sum(kinds.values()), "image")
                why = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
                found.append(f"judge {name!r} gave no answer about {images} ({why}); no answer rejects nothing")
        return found

    async def _settle_pools(self, pools: Sequence[Pool], *, is_scored: bool) -> None:
        rows = [row for pool in pools for row in (*pool.originals, *pool.rerolls)]
        rejected = self.rules.find_rejected(pools)
        decisions = [
            self.rules.get(pool.gates).decide(pool.originals, pool.rerolls, rejected, is_scored=is_scored)
            for pool in pools
        ]
        await self._record(rows, decisions)
        for pool, decision in zip(pools, decisions, strict=True):
            funded = self._take_money(pool, decision.rerolls)
            self.missing += decision.missing + decision.rerolls - funded
            if funded and not self.batch.stop.requested:
                now_us = self.batch.clock.now_us()
                await write_rerolls(self.batch.engine, pool, funded, run=self.run, now_us=now_us)

    def _take_money(self, pool: Pool, wanted: int) -> int:
        """Take the most that so many rerolls can cost out of the purse; the number that it suffices for."""
        if self.purse_micros is None or not wanted:
            return wanted
        job = build_job(pool.originals[0])
        price = self.batch.backend(job.backend).estimate(job).most_micros
        price = None if price is None else price + sum_judge_prices(pool.gates, self.batch.settings.scores)
        # An unknown price under a cap is refused when the job is sent; none is written for it.
        funded = 0 if price is None else wanted if price == 0 else min(wanted, max(0, self.purse_micros) // price)
        self.purse_micros -= funded * (price or 0)
        return funded

    async def _record(self, rows: Iterable[RowMapping], decisions: Iterable[Decision]) -> None:
        """Write the decisions that are new."""
        kept = {job_id: spell_result(why) for decision in decisions for job_id, why in decision.kept.items()}
        changed = [
            ScoreRow(job_id=row["job_id"], sha256=row["sha256"], name=KEPT, results=kept[row["job_id"]])
            for row in rows
            if row["job_id"] in kept and not kept[row["job_id"]].items() <= parse_results(row["scores"]).items()
        ]
        await record_scores(self.batch.engine, changed, now_us=self.batch.clock.now_us())


@asynccontextmanager
async def open_gate(
    batch: Batch, gates: Gates, layers: Iterable[Mapping[str, Any]], *, run: int, pays: bool = True
) -> AsyncIterator[RunGate]:
    """The gate of a run for the duration of the block.

    Args:
        batch: The open batch.
        gates: The rule.
        layers: The rules of single rows, as `find_row_layers` gives them.
        run: The run's number.
        pays: False: a cap leaves nothing for rerolls here; another process counts the money and writes them.

    Raises:
        ConfigError: A score or judge cannot be used.
        InputError: The condition cannot be understood.
    """
    settings = batch.settings.scores
    async with AsyncExitStack() as stack:
        rules = await stack.enter_async_context(open_rules(batch.engine, gates, layers, settings))
        names = [name for name in rules.scores if name not in settings]
        groups = list(group_scores({name: load_score(name, ScoreContext(None)) for name in names}))
        scoring = stack.enter_context(Scoring.open(batch.out, batch.engine, batch.clock, Scored()))
        judges = {
            name: await stack.enter_async_context(open_judge(name, settings[name], batch, Again()))
            for name in rules.scores
            if name in settings
        }
        purse = (await compute_purse(batch, rules.gates) if pays else 0) if batch.budget.capped else None
        yield RunGate(batch, rules, scoring, groups, judges, run, purse)


def _split_by_rule(
    rows: Iterable[RowMapping], wanted: Mapping[str, Rule]
) -> Iterable[tuple[Rule, Sequence[RowMapping]]]:
    split: dict[Rule, list[RowMapping]] = {}
    for row in rows:
        split.setdefault(wanted[row["job_id"]], []).append(row)
    return split.items()
