"""Write changes of job states in grouped commits.

Changes within a few milliseconds share one transaction, so a thousand jobs cost some hundred commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import BatchStopped, JobError, LeaseLost
from tasks.core.records import Job
from tasks.core.safe_text import error_text
from tasks.ledger.changes import Change, Row, apply_changes, clean_row, group_rows
from tasks.ledger.database.connect import explain_failure
from tasks.ledger.database.writer import make_writer
from tasks.ledger.group_commit import GroupCommit
from tasks.ledger.leases import LeaseTerms

Entry = tuple[Change, Row]
_FACTS = frozenset({Change.ATTEMPT_SUBMITTED, Change.JOB_SUBMITTED})
"""Changes that nobody waits for, and that are true whatever becomes of their group: a provider's id is known."""


@dataclass(frozen=True, slots=True)
class _Written:
    """Outcome of a group."""

    lost: frozenset[str] = frozenset()
    """Jobs of which nothing was written, because their lease is another worker's."""
    refused: dict[str, Exception] = field(default_factory=dict)
    """Errors of the database, by the job whose rows it does not take."""


class ChangeWriter:
    """Collects changes and commits them in groups; one per journal."""

    def __init__(self, engine: AsyncEngine, terms: LeaseTerms | None) -> None:
        """Write to the ledger of `engine`; with `terms`, only rows of jobs that this worker holds."""
        self._writer = make_writer(engine)
        self._terms = terms
        self._groups = GroupCommit(self._write)
        self._unwritten: list[Entry] = []
        """Facts of groups that failed; they go with the next group."""

    def add(self, change: Change, **values: Any) -> None:
        """Add one row to the group that collects now; `a_job_id` names its job."""
        self._groups.add((change, clean_row(values)))

    async def wait_for(self, job: Job) -> None:
        """Wait for the commit of what was just added for the job.

        Raises:
            LeaseLost: Another worker holds the job. Nothing of it was written.
            JobError: The database does not take the job's values.
            BatchStopped: The ledger cannot be written.
        """
        # Shielded: a caller that is cancelled must not take the whole group's commit with it.
        outcome = await asyncio.shield(self._groups.add())
        if job.job_id in outcome.lost:
            raise LeaseLost(f"{job.label}: another worker goes on with it")
        if error := outcome.refused.get(job.job_id):
            reason = getattr(error, "orig", error)
            # Unknown cost: the image may be paid for, though the ledger cannot hold what came of it.
            raise JobError(
                f"the ledger does not take its values ({error_text(reason)})", kind="unrecorded", cost_micros=None
            )

    async def _write(self, entries: Sequence[Entry]) -> _Written:
        # Old facts first: a prediction's id must be there before its attempt's end is.
        entries, self._unwritten = [*self._unwritten, *entries], []
        try:
            return _Written(lost=await self._apply(entries))
        except Exception as exc:  # noqa: BLE001  raised where it stops the batch, else each job is written by itself
            stopped = exc if isinstance(exc, BatchStopped) else explain_failure(exc)
            if stopped is not None:
                # The others are awaited: their jobs learn of the failure and go on from the ledger.
                self._unwritten = [entry for entry in entries if entry[0] in _FACTS]
                raise stopped from None
        # The database refused a value. The rows beside it are right, so each job is written by itself.
        return await self._write_each(entries)

    async def _write_each(self, entries: Sequence[Entry]) -> _Written:
        lost: frozenset[str] = frozenset()
        refused: dict[str, Exception] = {}
        # A job's rows stay together: an attempt without its job's state would be a damaged ledger.
        for job_id in dict.fromkeys(row["a_job_id"] for _, row in entries):
            try:
                lost |= await self._apply([entry for entry in entries if entry[1]["a_job_id"] == job_id])
            except Exception as exc:
                if explain_failure(exc):
                    raise
                refused[job_id] = exc
        return _Written(lost, refused)

    async def _apply(self, entries: Iterable[Entry]) -> frozenset[str]:
        return await self._writer.write(partial(apply_changes, group=group_rows(entries), terms=self._terms))

    async def close(self) -> None:
        """Commit what is left."""
        try:
            await self._groups.drain()
            # Facts of a group that failed get one more try; without it a paid prediction's id would be lost.
            if self._unwritten:
                await asyncio.shield(self._groups.add())
        finally:
            await self._writer.close()
