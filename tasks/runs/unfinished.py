"""Batches that did not come to their end and that nobody is working on: what a failed night leaves behind.

Read from the ledgers, not from Prefect's states: a machine that lost its power told Prefect nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from tasks.core.errors import BatchStopped, InputError
from tasks.generate.stop import INTERRUPTED
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lock import is_alive
from tasks.ledger.runs import RunRecord, count_resumes, get_last_run
from tasks.report.summary import KILLED
from tasks.store.output import parse_output


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRule:
    """Which batches are gone on with, and how often."""

    tries: int
    """After so many runs without a manifest in a row a batch is left to people."""
    within: timedelta
    """How long ago the batch's last run may have begun."""
    interrupted: bool
    """Whether Ctrl-C, a cancelled flow run or a machine that was shut down count as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A batch whose last run did not come to its end."""

    out: str
    why: str
    """How its last run ended."""
    resumes: int
    """How often it was gone on with already."""
    left_alone: str | None
    """Why it is not to be gone on with; None: it is."""


async def find_unfinished_batches(folder: str, rule: ResumeRule, *, now_us: int) -> AsyncIterator[Unfinished]:
    """The batches in or under a folder that were stopped or killed; none where there is no such folder yet.

    One whose run is alive is passed over: it holds the folder's lock, or that of its ledger's server.
    """
    oldest_us = now_us - rule.within // timedelta(microseconds=1)
    for out in parse_output(folder).below():
        try:
            async with open_ledger(out.home) as engine:
                if await is_alive(engine, out.home):
                    continue
                run, resumes = await get_last_run(engine), await count_resumes(engine)
        except (InputError, BatchStopped) as exc:  # a ledger that cannot be read is no reason to leave the others
            yield Unfinished(out=str(out), why="unreadable", resumes=0, left_alone=str(exc))
            continue
        if run is not None and run.started_at_us >= oldest_us and (why := _get_unfinished_reason(run, rule)):
            tried = f"gone on with {resumes} times already" if resumes >= rule.tries else None
            yield Unfinished(out=str(out), why=why, resumes=resumes, left_alone=tried)


def _get_unfinished_reason(run: RunRecord, rule: ResumeRule) -> str | None:
    if run.outcome is None:
        return KILLED
    counts = run.outcome.startswith("stopped") or (rule.interrupted and run.outcome == INTERRUPTED)
    return run.outcome if counts else None
