"""The preview of `imagen plan`: a manifest's totals, and how much of it an output folder has already."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from tasks.backends.prices import warn_of_old_prices
from tasks.core.clock import Clock, to_instant
from tasks.core.configuration.settings import Settings
from tasks.core.gates import dump_layer, merge_gates
from tasks.core.memory import split_chunks
from tasks.core.money import format_usd, to_cap_micros, to_usd
from tasks.core.paths import has_ledger
from tasks.core.records import ENDED_STATES, JobState
from tasks.core.safe_text import escape_control_characters
from tasks.core.text import format_count
from tasks.manifest import Manifest
from tasks.manifest.reading import describe_columns
from tasks.plan.cap_room import Share, Shares, find_room, format_room
from tasks.plan.check import NO_GATES, PlanReport, check_manifest
from tasks.plan.planner import Planner, PlanOptions, plan_manifest
from tasks.plan.quotes import ask_quotes, format_quote
from tasks.plan.reuse import NOTHING_REUSABLE, Reusable, format_reuse, preview_reuse
from tasks.reuse.options import NO_REUSE, ReuseOptions
from tasks.store.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The part of the manifest that the output folder's ledger has already."""

    states: Counter[str] = field(default_factory=Counter)
    spent_micros: int = 0
    """By the whole batch, as its budget counts it: known costs, and what attempts of unknown cost may have cost."""
    ended_shares: Shares = field(default_factory=dict)
    """Those of the manifest's jobs that have ended, by backend and model."""
    ended_ids: frozenset[str] = frozenset()
    """Those of them that have ended or are in flight: none of these is taken from elsewhere."""
    cap_micros: int | None = None
    """The batch's budget so far, which a run keeps that is given none."""
    dropped: int = 0
    """Paid jobs of the batch that the manifest does not have; they would leave the table."""

    @property
    def ended(self) -> int:
        """Jobs of the manifest that have ended, with or without an image."""
        return sum(self.states[state] for state in ENDED_STATES)


def preview_plan(
    manifest: Manifest,
    settings: Settings,
    options: PlanOptions,
    *,
    out: Output,
    budget_usd: float | None = None,
    today: date,
    caller: str = "",
    reuse: ReuseOptions = NO_REUSE,
    gate_layer: Mapping[str, Any] = NO_GATES,
    ask: bool = False,
) -> dict[str, Any]:
    """The plan as programs read it. Writes nothing, and only with `ask` is anybody asked: services, about their prices.

    Raises:
        ManifestError: The manifest has problems; they are all in it.
        ConfigError: A setting cannot be used.
    """
    report = check_manifest(manifest, settings, options, gate_layer=gate_layer)
    known = asyncio.run(_read_known(manifest, settings, options, out)) if has_ledger(out.home) else Known()
    taken = NOTHING_REUSABLE
    if reuse.patterns:
        taken = asyncio.run(preview_reuse(manifest, settings, options, out, reuse=reuse, ended=known.ended_ids))
    to_do = _subtract_shares(_subtract_shares(report.shares, known.ended_shares), taken.shares)
    judging = report.share_judging(_count_to_do(report, known, taken))
    now_us = Clock().now_us()
    return {
        "manifest": manifest.display,
        "out": str(out),
        **_count_jobs(report, known, taken),
        "gates": merge_gates(dump_layer(settings.gates), report.gates, gate_layer).model_dump(),
        "row_gates": {place: gates.model_dump() for gates, place in report.row_gates.items()},
        **_price_jobs(report, known, judging, to_do, budget_usd),
        "caps": asyncio.run(find_room(settings, to_do, judging, caller, now_us=now_us)),
        "duration_s": round(_estimate_left_s(report, known.ended + taken.images), 1),
        "columns": dict(report.columns),
        "quotes": asyncio.run(ask_quotes(manifest, settings, options, to_do, now=to_instant(now_us))) if ask else [],
        "warnings": [*report.notes, *warn_of_old_prices(report.priced_on, today), *taken.warnings],
    }


def _count_to_do(report: PlanReport, known: Known, taken: Reusable) -> int:
    return report.jobs - known.ended - taken.images


def _count_jobs(report: PlanReport, known: Known, taken: Reusable) -> dict[str, Any]:
    return {
        "rows": report.rows,
        "jobs": report.jobs,
        "duplicates": report.duplicates,
        "dropped": known.dropped,
        "backends": dict(report.by_backend),
        "done": known.states["succeeded"],
        "failed": known.states["failed"],
        "held": known.states["held"],
        "rerolls_at_most": report.rerolls,
        "to_do": _count_to_do(report, known, taken),
        "reused": taken.images,
        "reused_from": dict(taken.sources),
        "reuse_saves_usd": to_usd(taken.saves_micros),
    }


def _price_jobs(
    report: PlanReport, known: Known, judging: Shares, to_do: Shares, budget_usd: float | None
) -> dict[str, Any]:
    judging_micros = sum(share.micros for share in judging.values())
    to_do_micros = judging_micros + sum(share.micros for share in to_do.values())
    to_do_unpriced = sum(share.unpriced for share in to_do.values())
    return {
        "estimate_usd": to_usd(report.estimate_micros + report.judges_micros),
        "to_do_usd": to_usd(to_do_micros),
        "judging_usd": to_usd(judging_micros),
        # What was asked for comes first; rerolls take what the budget leaves.
        "to_do_at_most_usd": to_usd(to_do_micros + report.rerolls_micros),
        "unpriced": report.unpriced,
        "to_do_unpriced": to_do_unpriced,
        "spent_usd": to_usd(known.spent_micros),
        **_compute_budget(known, budget_usd, to_do_micros, to_do_unpriced),
    }


def _subtract_shares(planned: Shares, ended: Shares) -> Shares:
    left = {}
    for key, share in planned.items():
        gone = ended.get(key, Share())
        left[key] = Share(
            share.jobs - gone.jobs, share.micros - gone.micros, share.unpriced - gone.unpriced, share.least_micros
        )
    return left


def _compute_budget(known: Known, given_usd: float | None, to_do_micros: int, to_do_unpriced: int) -> dict[str, Any]:
    """The budget, what is left of it, and True under `within_budget` where that is enough; None without a budget."""
    # A run that is given none keeps the batch's cap, and so does its preview.
    cap_micros = known.cap_micros if given_usd is None else to_cap_micros(given_usd)
    # Over the batch's whole life, as a run counts it.
    left_micros = None if cap_micros is None else cap_micros - known.spent_micros
    # Nothing left to pay for is enough, also where a lowered budget is below what is spent.
    is_enough = None if left_micros is None else to_do_micros <= max(0, left_micros) and not to_do_unpriced
    budget_usd = to_usd(cap_micros) if given_usd is None else given_usd
    return {"budget_usd": budget_usd, "budget_left_usd": to_usd(left_micros), "within_budget": is_enough}


def format_preview(record: dict[str, Any]) -> list[str]:
    """The plan for people."""
    backends = ", ".join(f"{number} on {name}" for name, number in record["backends"].items())
    duplicates = f", {record['duplicates']} of them repeat an earlier row" if record["duplicates"] else ""
    unpriced, to_do_unpriced = (_format_unpriced(record[name]) for name in ("unpriced", "to_do_unpriced"))
    rows, images = format_count(record["rows"], "row"), format_count(record["jobs"], "image")
    at_least = timedelta(seconds=round(record["duration_s"]))
    lines = [
        f"{record['manifest']}: {rows}, {images} ({backends}){duplicates}",
        describe_columns(record["columns"]),
        f"all of them: {format_usd(record['estimate_usd'])}{unpriced}",
        f"to do: {format_count(record['to_do'], 'image')}, {format_usd(record['to_do_usd'])}{to_do_unpriced}, at least {at_least}",
    ]
    if record["judging_usd"]:
        lines.append(f"of it for judges: {format_usd(record['judging_usd'])} at most")
    if record["rerolls_at_most"]:
        rerolls = format_count(record["rerolls_at_most"], "reroll")
        lines.append(
            f"with {rerolls} of rejected images at most: between {format_usd(record['to_do_usd'])} and "
            f"{format_usd(record['to_do_at_most_usd'])}; rerolls take only what the budget leaves"
        )
    if record["done"] or record["failed"] or record["held"] or record["spent_usd"]:
        counts = f"{record['done']} done, {record['failed']} failed, {record['held']} held"
        lines.append(f"already in {record['out']}: {counts}; {format_usd(record['spent_usd'])} spent so far")
    if record["reused"]:
        lines.append(format_reuse(record))
    if record["dropped"]:
        lines.append(
            f"{format_count(record['dropped'], 'image')} of the batch in {record['out']} would leave the table, because "
            "the manifest does not have their rows; the files stay"
        )
    if record["budget_usd"] is not None:
        lines.append(_format_budget(record))
    lines += map(format_room, record["caps"])
    lines += map(format_quote, record["quotes"])
    lines += [f"warning: {warning}" for warning in record["warnings"]]
    return [escape_control_characters(line) for line in lines]  # names of columns are as the file has them


def _format_unpriced(images: int) -> str:
    return f" and {format_count(images, 'image')} of unknown price" if images else ""


def _format_budget(record: dict[str, Any]) -> str:
    left = f"of the budget of {format_usd(record['budget_usd'])} are {format_usd(max(0.0, record['budget_left_usd']))} left"
    if record["within_budget"]:
        return f"{left}: enough"
    if record["to_do_unpriced"]:
        return f"{left}: it cannot be kept while a price is unknown; set price_usd of the backend"
    return f"{left}: not enough, a run would be refused before anything is sent"


def _estimate_left_s(report: PlanReport, ended: int) -> float:
    """The plan's duration, less the share of the jobs that need no call."""
    return report.duration_s * (report.jobs - ended) / report.jobs if report.jobs else 0.0


async def _read_known(manifest: Manifest, settings: Settings, options: PlanOptions, out: Output) -> Known:
    # A plan for a new folder needs no database, and starts without loading one.
    from tasks.ledger.database.connect import open_ledger  # noqa: PLC0415
    from tasks.ledger.database.location import find_ledger  # noqa: PLC0415
    from tasks.ledger.jobs import count_paid_jobs, get_known_states  # noqa: PLC0415
    from tasks.ledger.queries import sum_committed_micros  # noqa: PLC0415
    from tasks.ledger.runs import get_last_run  # noqa: PLC0415

    states: Counter[str] = Counter()
    ended_ids: set[str] = set()
    shares: defaultdict[tuple[str, str], Share] = defaultdict(Share)
    planner = Planner(settings, options, manifest)
    planned = (item.job for item in plan_manifest(manifest, settings, options))
    async with open_ledger(find_ledger(out.home, settings.ledger_url)) as engine:
        for chunk in split_chunks(planned):
            found = await get_known_states(engine, [job.job_id for job in chunk])
            states.update(found.values())
            ended_ids |= {job_id for job_id, state in found.items() if state is not JobState.PLANNED}
            for job in chunk:
                if found.get(job.job_id) in ENDED_STATES:
                    shares[job.backend, job.model].add(planner.backend(job.backend).estimate(job).cost_micros)
        # With a limit the rest of the manifest is not read, so nothing can be called dropped.
        paid = 0 if options.limit is not None else await count_paid_jobs(engine, options.salt)
        before = await get_last_run(engine)
        return Known(
            states=states,
            # Jobs without an attempt are not among `paid`.
            cap_micros=None if before is None else before.start.budget_micros,
            dropped=max(0, paid - states.total() + states[JobState.PLANNED]),
            spent_micros=await sum_committed_micros(engine),
            ended_shares=shares,
            ended_ids=frozenset(ended_ids),
        )
