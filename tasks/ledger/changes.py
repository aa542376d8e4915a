"""Changes of a job's state: one statement each, one transaction for a group.

Applying a group twice changes nothing, so it is repeated when the database's answer was lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import cache
from math import isfinite
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Integer,
    ScalarSelect,
    Text,
    bindparam,
    case,
    func,
    insert,
    null,
    select,
    update,
)
from sqlalchemy.sql.dml import Insert, Update

from tasks.core.database import build_insert
from tasks.core.records import Job, JobState
from tasks.core.safe_text import sanitize_text
from tasks.ledger.database.schema import attempts, jobs
from tasks.ledger.leases import LeaseTerms, is_newest, read_seconds_left
from tasks.ledger.usage import CHANGED


def build_route(job: Job) -> dict[str, Any]:
    """Parameters of `ROUTE_UPDATE` for a job that another backend takes over."""
    return {
        "a_job_id": job.job_id,
        "backend": job.backend,
        "backend_type": job.backend_type,
        "model": job.model,
        "backend_opts": json.dumps(job.backend_opts, ensure_ascii=False, default=str),
        "fallbacks": ",".join(job.fallbacks),
        "rerouted_from": job.rerouted_from,
    }


ROUTE_UPDATE = (
    update(jobs)
    .where(jobs.c.job_id == bindparam("a_job_id"))
    .values(
        {
            name: bindparam(name)
            for name in ("backend", "backend_type", "model", "backend_opts", "fallbacks", "rerouted_from")
        }
        | {"state": JobState.PLANNED}
    )
)


class Change(IntEnum):
    """Kinds of change, in the order in which one commit applies them."""

    ATTEMPT_STARTED = 1
    JOB_SUBMITTING = 2
    ATTEMPT_SUBMITTED = 3
    JOB_SUBMITTED = 4
    ATTEMPT_ENDED = 5
    JOB_OPEN_AGAIN = 6
    JOB_REROUTED = 7
    JOB_SUCCEEDED = 8
    JOB_FAILED = 9


Row = Mapping[str, Any]
Group = Mapping[Change, Sequence[Row]]
"""Changes of one transaction; each row names its job as `a_job_id`."""

_INTEGER_LIMIT = 2**63
_NUMBERS = frozenset({"a_number"}) | {
    column.name for table in (jobs, attempts) for column in table.c if isinstance(column.type, Integer | Float)
}
"""Names of the rows' values that are numbers."""

INTENT = frozenset({Change.ATTEMPT_STARTED, Change.JOB_SUBMITTING})
"""Changes that are on disk before a paid call is sent."""


def apply_changes(db: Connection, group: Group, terms: LeaseTerms | None) -> frozenset[str]:
    """Write a group in the open transaction.

    Args:
        db: The ledger.
        group: The changes.
        terms: Lease terms of the writing worker; None: it is alone. Rows of jobs without a lease are dropped, and so
            are intents with too little lease left or from a run that is not the newest.

    Returns:
        Ids of the dropped jobs.
    """
    lost: frozenset[str] = frozenset()
    if terms is not None:
        group, lost = _split_held(db, group, terms)
    # The order of `Change`: an attempt's row is there before it is updated.
    for change in sorted(group):
        if rows := group[change]:
            db.execute(_choose_statement(change, db.dialect.name), rows)
    return lost


def group_rows(entries: Iterable[tuple[Change, Row]]) -> Group:
    """Collect the rows of each kind of change."""
    group: dict[Change, list[Row]] = {}
    for change, row in entries:
        group.setdefault(change, []).append(row)
    return group


def clean_row(values: Row) -> Row:
    """Replace what no database takes, because one such value refuses the whole transaction.

    Text loses what cannot be stored, and a number that its column cannot hold becomes NULL.
    """
    return {name: _clean_number(value) if name in _NUMBERS else _clean_text(value) for name, value in values.items()}


def _clean_number(value: Any) -> int | float | None:
    if isinstance(value, float) and isfinite(value):
        return value
    # NaN and infinity come from outside, and PostgreSQL refuses a NaN in an integer column.
    return value if isinstance(value, int) and abs(value) < _INTEGER_LIMIT else None


def _clean_text(value: Any) -> str | None:
    return None if value is None else sanitize_text(str(value))


def collect_job_ids(group: Group) -> frozenset[str]:
    """Ids of the jobs in a group."""
    return frozenset(row["a_job_id"] for rows in group.values() for row in rows)


def _split_held(db: Connection, group: Group, terms: LeaseTerms) -> tuple[Group, frozenset[str]]:
    """The part of the group that may be written, and the ids of the dropped jobs."""
    wanted = collect_job_ids(group)
    intended = frozenset(row["a_job_id"] for change in INTENT for row in group.get(change, ()))
    # In the transaction that writes: a lease that is checked before it may be lost in between.
    left_s = read_seconds_left(db, terms.owner, wanted)
    # A later run may have another budget, or none of these jobs in its manifest.
    may_send = not intended or terms.run is None or db.execute(select(is_newest(terms.run))).scalar_one()
    safe = {job_id for job_id, seconds in left_s.items() if may_send and seconds >= terms.send_margin_s}
    held = {
        change: [row for row in rows if row["a_job_id"] in (safe if change in INTENT else left_s)]
        for change, rows in group.items()
    }
    # Ends are written while the lease is held at all; an intent needs time left for its call.
    return held, (wanted - left_s.keys()) | (intended - safe)


def _choose_statement(change: Change, dialect: str) -> Insert | Update:
    return (
        _build_repeatable_start()
        # SQLite has no lost answer: there an attempt that exists already is a bug, and should be seen.
        if change is Change.ATTEMPT_STARTED and dialect == "postgresql"
        else _STATEMENTS[change]
    )


@cache
def _build_repeatable_start() -> Insert:
    """Insert that tolerates its own repetition: a server may have committed a group before its answer was lost."""
    return build_insert("postgresql", attempts).values(_STARTED).on_conflict_do_nothing()


def _update_attempt(*names: str) -> Update:
    mine = (attempts.c.job_id == bindparam("a_job_id")) & (attempts.c.number == bindparam("a_number"))
    return update(attempts).where(mine).values({name: bindparam(name) for name in names})


def _update_job(*names: str, **fixed: Any) -> Update:
    mine = jobs.c.job_id == bindparam("a_job_id")
    return update(jobs).where(mine).values({name: bindparam(name) for name in names} | fixed)


def sum_attempt_costs() -> ScalarSelect[Any]:
    """Sum of the job's attempt costs; NULL if one is unknown."""
    # SQL's SUM skips NULLs and would show a part as the whole cost.
    known = case((func.count() > func.count(attempts.c.cost_micros), null()), else_=func.sum(attempts.c.cost_micros))
    return select(known).where(attempts.c.job_id == jobs.c.job_id).correlate(jobs).scalar_subquery()


_STARTED = {"job_id": bindparam("a_job_id"), "number": bindparam("a_number"), "state": JobState.SUBMITTING}
_END = ("error_kind", "error_message", "latency_ms")
_STATEMENTS: dict[Change, Insert | Update] = {
    Change.ATTEMPT_STARTED: insert(attempts).values(_STARTED),
    # The id of the attempt before must not be taken for this one's.
    Change.JOB_SUBMITTING: _update_job("attempts", state=JobState.SUBMITTING, prediction_id=None),
    Change.ATTEMPT_SUBMITTED: _update_attempt("prediction_id", "submitted_at_us", "submit_retries").values(
        state=JobState.SUBMITTED
    ),
    Change.JOB_SUBMITTED: _update_job("prediction_id", "model_version", state=JobState.SUBMITTED),
    Change.ATTEMPT_ENDED: _update_attempt(
        "state", "predict_time_s", "cost_micros", "cost_source", "ended_at_us", *_END
    ).values(
        # An end without an image brings no id, and must not erase the known one.
        prediction_id=func.coalesce(bindparam("a_prediction_id", type_=Text), attempts.c.prediction_id),
        # A usage row that was pushed for an earlier end is pushed again.
        usage_pushed_at_us=case((attempts.c.usage_pushed_at_us.is_not(None), CHANGED)),
    ),
    Change.JOB_OPEN_AGAIN: _update_job(state=JobState.PLANNED),
    Change.JOB_REROUTED: ROUTE_UPDATE,
    Change.JOB_SUCCEEDED: _update_job(
        "prediction_id",
        "model_version",
        "predict_time_s",
        "cost_source",
        "latency_ms",
        "file_name",
        "width",
        "height",
        "format",
        "bytes",
        "sha256",
        "provenance",
        "completed_at_us",
        state=JobState.SUCCEEDED,
        error_kind=None,
        error_message=None,
        cost_micros=sum_attempt_costs(),
    ),
    Change.JOB_FAILED: _update_job("state", "completed_at_us", *_END, cost_micros=sum_attempt_costs()),
}
