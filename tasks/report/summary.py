"""Step 7: what a batch came to, for people and for programs; a projection of the ledger.

`summary.json`, the final JSON of `imagen run` and `imagen status --json` are the same record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import to_instant
from tasks.core.display import describe_silent
from tasks.core.errors import INTERRUPTED_STATUS, InputError
from tasks.core.money import format_usd, to_usd
from tasks.core.records import Counts, JobState
from tasks.generate.stop import CANCELLED, INTERRUPTED
from tasks.ledger.leases import SilentJobs, find_silent_jobs
from tasks.ledger.lock import is_alive
from tasks.ledger.queries import count_jobs, find_last_activity_us, find_reasons
from tasks.ledger.runs import RunRecord, get_last_run, parse_settings
from tasks.ledger.scores import count_not_kept
from tasks.ledger.usage import count_usage
from tasks.ledger.verdicts import JudgedCounts, count_judged
from tasks.report.image_facts import NOT_RESIZED, Resized, count_missing, find_image_remarks, find_resized
from tasks.report.next_steps import find_next_steps, format_errors
from tasks.store.output import NewFile, Output

FILE_NAME = "summary.json"
COMPLETED, RUNNING, KILLED = "completed", "running", "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The state of a batch and of its last run."""

    out: Output
    counts: Counts
    run: RunRecord | None
    alive: bool
    """True if a run holds the batch now."""
    wall_s: float
    """Of the last run; while it is alive, up to now; killed, up to its last trace."""
    generated: int | None
    """Images that this run made; None where only the ledger was read."""
    usage_pushed: int
    usage_pending: int
    last_activity_us: int | None
    warning: str | None = None
    """Something that went wrong without costing an image."""
    missing: int | None = None
    """Images whose files are gone; None where nobody looked."""
    reasons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For each error kind one job, with its state and message."""
    resized: Resized = NOT_RESIZED
    silent: SilentJobs = field(default_factory=SilentJobs)
    """Open jobs of workers that give no sign of life."""
    judged: JudgedCounts = field(default_factory=JudgedCounts)
    not_kept: int = 0
    """Images that `keep` or `reject` left out."""
    short: int | None = None
    """Images that were asked for and that this run could not make; None where only the ledger was read."""

    @property
    def outcome(self) -> str | None:
        """End of the last run: `running`, `killed`, or as the run itself recorded it."""
        if self.run is None:
            return None
        if self.run.outcome is not None:
            return self.run.outcome
        # A run without an end, whose lock is free, was killed.
        return RUNNING if self.alive else KILLED

    def as_dict(self) -> dict[str, Any]:
        """The record that programs read; its keys are a contract."""
        counts = self.counts
        # Images of this run where it counted them; else all of the batch.
        made = counts.succeeded if self.generated is None else self.generated
        return {
            "batch": self.out.name,
            "total": counts.total,
            # All states, also the empty ones: programs read the same keys every time.
            **{state.value: getattr(counts, state.value) for state in JobState},
            "duplicates": counts.duplicates,
            "rerouted": counts.rerouted,
            "reused": counts.reused,
            "unwanted": counts.unwanted,
            "images": counts.succeeded,
            "missing": self.missing,
            "resized": self.resized.images,
            "resized_example": self.resized.example,
            **asdict(self.judged),
            "not_kept": self.not_kept,
            "short": self.short,
            "generated": self.generated,
            "cost_usd": to_usd(counts.cost_micros),
            "cost_unknown": counts.cost_unknown,
            "wall_s": round(self.wall_s, 3),
            # Only what was made by this run, over its own time: other runs may be weeks ago.
            "images_per_s": round(made / self.wall_s, 3) if self.wall_s > 0 and made else 0.0,
            "usage_pushed": self.usage_pushed,
            "usage_pending": self.usage_pending,
            "errors": dict(counts.errors),
            "reasons": dict(self.reasons),
            "outcome": self.outcome,
            "silent_jobs": self.silent.jobs,
            "silent_left_s": round(self.silent.left_s),
            "last_activity": _to_iso(self.last_activity_us),
            "warning": self.warning,
            "out": str(self.out),
        }


async def summarise(
    engine: AsyncEngine,
    out: Output,
    *,
    now_us: int,
    generated: int | None = None,
    short: int | None = None,
    warning: str | None = None,
) -> Summary:
    """Read the summary of the batch in `out` from its ledger, and look whether its images are there.

    While a run of another process is alive, the images are not looked for: it is asked for every second.
    """
    run, last_us = await get_last_run(engine), await find_last_activity_us(engine)
    alive = await is_alive(engine, out.home)
    pushed, pending = await count_usage(engine)
    ended_us = now_us if alive else last_us
    if run is not None and run.ended_at_us is not None:
        ended_us = run.ended_at_us
    return Summary(
        out=out,
        counts=await count_jobs(engine),
        run=run,
        alive=alive,
        wall_s=(ended_us - run.started_at_us) / 1e6 if run and ended_us else 0.0,
        generated=generated,
        usage_pushed=pushed,
        usage_pending=pending,
        last_activity_us=last_us,
        warning=warning,
        # Not asked of a live run: the question costs a list of the folder each second.
        missing=None if alive and generated is None else await count_missing(engine, out),
        resized=await find_resized(engine),
        judged=await count_judged(engine),
        not_kept=await count_not_kept(engine),
        short=short,
        silent=await _find_silent_jobs(engine, run) if alive else SilentJobs(),
        reasons=await find_reasons(engine),
    )


async def _find_silent_jobs(engine: AsyncEngine, run: RunRecord | None) -> SilentJobs:
    if run is None:
        return SilentJobs()
    try:
        runner = parse_settings(run).runner
    except InputError:  # of a later version; nothing else needs them here
        return SilentJobs()
    # Alone in its batch, a process holds no leases.
    return SilentJobs() if runner.kind == "local" else await find_silent_jobs(engine, runner.lease_s)


def format_summary(record: dict[str, Any]) -> list[str]:
    """The record in a few lines for people: counts, cost, where the files are, what to do next."""
    return [
        format_counts(record),
        *format_errors(record),
        *find_remarks(record),
        format_place(record),
        *(f"{why}: {command}" for why, command in list_next_steps(record)),
    ]


def format_place(record: dict[str, Any]) -> str:
    """The place of the files. The table is written when a run ends, and is not named before."""
    # A batch without an image is still where its ledger is.
    if not record["images"]:
        return f"the batch is in {record['out']}"
    table = "" if record["outcome"] in {RUNNING, KILLED} else " and metadata.parquet"
    return f"images{table} are in {record['out']}"


def list_next_steps(record: dict[str, Any]) -> list[tuple[str, str]]:
    """The next steps: for each the reason, and the command."""
    return find_next_steps(record, running=record["outcome"] == RUNNING, left=_count_left(record))


def format_counts(record: dict[str, Any]) -> str:
    """Images, failures and dollars."""
    unknown = f" and {record['cost_unknown']} of unknown cost" if record["cost_unknown"] else ""
    # Images that were there before are not new, and the number would mislead.
    again = f", {record['generated']} of them new" if record["generated"] not in {None, record["images"]} else ""
    # A summary of an older version has no such number.
    reused = f", {record['reused']} reused from other batches for nothing" if record.get("reused") else ""
    return (
        f"{record['images']} of {record['total']} images{again}{reused}; {record['failed']} failed, "
        f"{record['held']} held, {_count_left(record)} to do; {format_usd(record['cost_usd'])}{unknown}"
    )


def find_remarks(record: dict[str, Any]) -> list[str]:
    """Remarks on the last run: an end that is not simply complete, and trouble that cost no image."""
    rerouted = record["rerouted"]
    others = [f"{rerouted} taken over by another backend than the first"] if rerouted else []
    ended = [record["outcome"]] if record["outcome"] not in {None, COMPLETED} else []
    unwanted = record["unwanted"]
    stale = [f"{unwanted} of an earlier plan are not sent: the last manifest does not have them"] if unwanted else []
    return [
        *others,
        *stale,
        *([describe_silent(record["silent_jobs"], record["silent_left_s"])] if record["silent_jobs"] else []),
        *find_image_remarks(record),
        *ended,
        *([f"warning: {record['warning']}"] if record["warning"] else []),
    ]


def _count_left(record: dict[str, Any]) -> int:
    left: int = record["planned"] + record["submitting"] + record["submitted"] - record["unwanted"]
    return left


async def write_summary(summary: Summary) -> None:
    """Write `summary.json` into the output."""
    text = json.dumps(summary.as_dict(), indent=2, ensure_ascii=False)
    await summary.out.write(lambda: NewFile(FILE_NAME, (text + "\n").encode()))


def _to_iso(us: int | None) -> str | None:
    return None if us is None else to_instant(us).isoformat(timespec="seconds")


def get_exit_code(record: dict[str, Any]) -> int:
    """The exit status that a finished run's record means: 0, 1, 3 or 130."""
    outcome = record["outcome"] or ""
    if outcome in {INTERRUPTED, CANCELLED}:
        return INTERRUPTED_STATUS
    if outcome.startswith("stopped"):
        return 3
    # A job in flight after a run that was not stopped could not be recorded; the next run looks at it.
    return 1 if any(record[name] for name in ("failed", "held", "submitting", "submitted", "short")) else 0
