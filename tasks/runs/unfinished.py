"""Finding batches whose last run was stopped or killed, such as a failed night's.

The ledgers decide, not Prefect's states: a machine that lost its power has told Prefect nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tasks.core.clock import to_instant
from tasks.core.errors import BatchStopped, InputError
from tasks.generate.stop import INTERRUPTED
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lock import is_alive
from tasks.ledger.runs import RunRecord, count_resumes, get_last_run
from tasks.report.summary import KILLED
from tasks.runs.freed import explain_waiting
from tasks.store.output import parse_output

UNREADABLE = "unreadable"
"""Why a batch is unfinished whose ledger is on another machine, away or damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRule:
    """The batches that are resumed, and the number of times."""

    tries: int
    """Resumes in a row after which a batch is left to people."""
    within: timedelta
    """Age limit of the batch's last run."""
    interrupted: bool
    """Also resume after Ctrl-C or a shutdown. A run that was cancelled in Prefect is never resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A batch whose last run did not complete."""

    out: str
    why: str
    """The end of its last run."""
    began_at: datetime
    """When its last run began."""
    left_alone: str | None
    """The reason not to resume it; None: resume it."""


async def find_unfinished_batches(folder: str, rule: ResumeRule, *, now_us: int) -> AsyncIterator[Unfinished]:
    """Yield the stopped and killed batches in or under a folder; a folder that does not exist has none.

    A batch whose run is alive is skipped: its run holds the lock of the folder or of the ledger's server.
    """
    # Older runs are left to people: whoever let them lie has decided something.
    oldest_us = now_us - rule.within // timedelta(microseconds=1)
    for out in parse_output(folder).below():
        try:
            async with open_ledger(out.ledger_folder()) as engine:
                if await is_alive(engine, out.home):
                    continue
                run, resumes = await get_last_run(engine), await count_resumes(engine)
                waits = None if run is None else await explain_waiting(engine, run, now_us=now_us)
        except (InputError, BatchStopped) as exc:  # one unreadable ledger must not hide the others
            yield Unfinished(out=str(out), why=UNREADABLE, began_at=to_instant(now_us), left_alone=str(exc))
            continue
        # A month's cap may free long after its run began, and the batch is not given up before.
        if run is not None and _get_latest_us(run) >= oldest_us and (why := _get_unfinished_reason(run, rule)):
            tried = f"resumed {resumes} times already" if resumes >= rule.tries else waits
            yield Unfinished(out=str(out), why=why, began_at=to_instant(run.started_at_us), left_alone=tried)


def _get_latest_us(run: RunRecord) -> int:
    return max(run.started_at_us, run.frees_at_us or 0)


def _get_unfinished_reason(run: RunRecord, rule: ResumeRule) -> str | None:
    # An outcome that is not set means that the process died before it could write one.
    if run.outcome is None:
        return KILLED
    counts = run.outcome.startswith("stopped") or (rule.interrupted and run.outcome == INTERRUPTED)
    return run.outcome if counts else None
