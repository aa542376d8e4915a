"""The report of `imagen costs` as one record: every form of it (screen, JSON, CSV, page) shows what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tasks.core.configuration.sections import UsageSettings
from tasks.core.money import to_usd
from tasks.usage.costs.batches import Failure, LocalBatches, list_failures
from tasks.usage.costs.figures import SHOWN_BY, Amount, Figures, get
from tasks.usage.costs.forecast import Forecast
from tasks.usage.query import describe_time_zone

MOST_FAILURES = 10
SINKS = {
    "sqlite": "This machine only: usage is kept in {path}. Other machines that share their rows need postgres or supabase.",
    "postgres": "Every machine that pushes to this PostgreSQL database.",
    "supabase": "Every machine that pushes to this Supabase project.",
    "none": "Usage is not kept (usage.sink: none), so there is nothing to report.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CostParts:
    """Everything that a report is made of."""

    figures: Figures
    forecast: Forecast
    local: LocalBatches
    server: str
    """The server that told the schedules, or the reason why there are none."""


def build_record(settings: UsageSettings, parts: CostParts) -> dict[str, Any]:
    """The report as programs read it; dollars, null where an amount is not known."""
    figures, months = parts.figures, parts.figures.months
    same, present = figures.sum_same_days(), figures.sum_this_month()
    failures = list_failures(parts.local, _find_failures(figures))
    return {
        "month": months.first.isoformat()[:7],
        "month_before": months.first_before.isoformat()[:7],
        "until": months.now.astimezone().isoformat(timespec="minutes"),
        "time_zone": describe_time_zone(months.now),
        "sees": SINKS[settings.sink].format(path=settings.database),
        "this_machine_only": settings.sink == "sqlite",
        "this_month": _build_amount(present),
        "same_days_before": _build_amount(same),
        "whole_month_before": _build_amount(figures.sum_month_before()),
        "change_usd": to_usd(present.cost_micros - same.cost_micros),
        "forecast": _build_forecast(parts),
        **{f"by_{key}": list(_compare(figures, key)) for key in SHOWN_BY},
        "kept": _build_kept(parts.local),
        "failures": [
            {
                "batch": it.batch,
                "model": it.model,
                "kind": it.kind,
                "attempts": it.attempts,
                "cost_usd": to_usd(it.cost_micros),
            }
            for it in failures[:MOST_FAILURES]
        ],
        "failures_hidden": max(0, len(failures) - MOST_FAILURES),
        "skipped": parts.local.skipped,
    }


def list_lines(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The amounts as lines of one table, for CSV: `by`, `name`, and the columns of an amount, also of the month before."""
    columns = list(record["this_month"])
    yield _build_line("total", "", record["this_month"], record["whole_month_before"], columns)
    for key in SHOWN_BY:
        for entry in record[f"by_{key}"]:
            yield _build_line(key, entry["name"], entry, entry["month_before"], columns)


def _build_line(
    by: str, name: str, amount: dict[str, Any], before: dict[str, Any], columns: Iterable[str]
) -> dict[str, Any]:
    return {
        "by": by,
        "name": name,
        **{column: amount[column] for column in columns},
        **{f"month_before_{column}": before[column] for column in columns},
    }


def _compare(figures: Figures, key: str) -> Iterator[dict[str, Any]]:
    for name, present, before in figures.compare_by(key):
        yield {"name": name, **_build_amount(present), "month_before": _build_amount(before)}


def _build_amount(amount: Amount) -> dict[str, Any]:
    return {
        "images": amount.images,
        "failures": amount.failures,
        # Of nothing but unknown costs no sum is known.
        "cost_usd": None if amount.has_no_known_cost else to_usd(amount.cost_micros),
        "failed_usd": to_usd(amount.failed_micros),
        "cost_unknown": amount.cost_unknown,
        "usd_per_image": None if amount.micros_per_image is None else amount.micros_per_image / 1e6,
    }


def _build_forecast(parts: CostParts) -> dict[str, Any]:
    forecast = parts.forecast
    return {
        "month_end_usd": to_usd(forecast.total_micros),
        "spent_usd": to_usd(forecast.spent_micros),
        "expected_usd": to_usd(forecast.expected_micros),
        "basis": forecast.basis,
        "server": parts.server,
        "explanation": list(forecast.explanation),
    }


def _build_kept(local: LocalBatches) -> dict[str, Any]:
    """Unit costs of what a review keeps, over the batches of this machine that were reviewed."""
    judged = [it for it in local.batches if it.is_judged]
    cost, kept = sum(it.cost_micros for it in judged), sum(it.kept for it in judged)
    is_known = kept and not any(it.cost_unknown for it in judged)
    return {
        "batches": len(judged),
        "images": sum(it.images for it in judged),
        "picked": sum(it.picked for it in judged),
        "rejected": sum(it.rejected for it in judged),
        "kept": kept,
        "cost_usd": to_usd(cost),
        "usd_per_kept_image": cost / kept / 1e6 if is_known else None,
        "reused": sum(it.reused for it in local.batches),
        "by_batch": [
            {
                "batch": it.batch,
                "images": it.images,
                "kept": it.kept,
                "cost_usd": to_usd(it.cost_micros),
                "usd_per_kept_image": it.cost_micros / it.kept / 1e6 if it.kept and not it.cost_unknown else None,
            }
            for it in sorted(judged, key=lambda it: -it.cost_micros)
        ],
    }


def _find_failures(figures: Figures) -> Iterator[Failure]:
    """This month's failures by their usage rows, for batches whose ledgers are elsewhere."""
    sums: dict[tuple[str, str, str], tuple[int, int]] = {}
    for group in figures.groups:
        if group.failures and group.cost_micros and figures.months.is_this_month(get(group, "day")):
            key = (get(group, "batch"), get(group, "model"), get(group, "status"))
            number, cost = sums.get(key, (0, 0))
            sums[key] = number + group.failures, cost + group.cost_micros
    for (batch, model, status), (number, cost) in sums.items():
        yield Failure(batch=batch, model=model, kind=status, attempts=number, cost_micros=cost)
