"""Prices of a plan's images as the services tell them, beside those that the plan counts: `imagen plan --ask`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tasks.backends.base import Backend
from tasks.backends.price_list import UNIT_NAMES
from tasks.backends.quotes import NoQuote, Quote
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError
from tasks.core.money import format_micros, format_usd, to_usd
from tasks.core.records import Job
from tasks.core.text import format_count
from tasks.manifest import Manifest
from tasks.plan.cap_room import Shares
from tasks.plan.planner import Planner, PlanOptions, plan_manifest

MOST_QUOTES = 20
"""Backends and models of one plan that are asked about."""
TIMEOUT_S = 15.0
"""For one service; all are asked at the same time."""
DIFFERENT = 0.01
"""Share by which a quote may differ from the plan's price before a person is told what it comes to."""


async def ask_quotes(
    manifest: Manifest, settings: Settings, options: PlanOptions, to_do: Shares, *, now: datetime
) -> list[dict[str, Any]]:
    """One record for each backend and model that is to make something: its first image's price, as its service says it.

    Nothing is made and nothing is spent; a service that says nothing has the reason in its record.
    """
    planner = Planner(settings, options, manifest)
    wanted = [key for key, share in to_do.items() if share.jobs > 0][:MOST_QUOTES]
    first: dict[tuple[str, str], Job] = {}
    for item in plan_manifest(manifest, settings, options):
        if (key := (item.job.backend, item.job.model)) in wanted:
            first.setdefault(key, item.job)
        # The rest of a long manifest has nothing new.
        if len(first) == len(wanted):
            break
    backends = {name: planner.backend(name) for name, _ in first}
    try:
        answers = await asyncio.gather(*(_ask(backends[job.backend], job) for job in first.values()))
    finally:
        for backend in backends.values():
            await backend.close()
    records = zip(first.values(), answers, strict=True)
    return [_build_record(job, answer, backends, to_do[job.backend, job.model].jobs, now) for job, answer in records]


async def _ask(backend: Backend, job: Job) -> Quote | str:
    """The quote, or why there is none."""
    # Backends of other packages may have neither this attribute nor the method.
    if not getattr(backend, "states_prices", False):
        return "its service states no prices"
    if (missing := backend.ready()) is not None:
        return f"not asked: {missing}"
    try:
        found: Quote = await asyncio.wait_for(backend.quote(job), TIMEOUT_S)  # type: ignore[attr-defined]  # it has prices
    except (NoQuote, ConfigError) as exc:
        return str(exc)
    except TimeoutError:
        return f"no answer within {TIMEOUT_S:.0f} s"
    return found


def _build_record(
    job: Job, answer: Quote | str, backends: Mapping[str, Backend], jobs: int, now: datetime
) -> dict[str, Any]:
    quote = answer if isinstance(answer, Quote) else None
    plan_micros = backends[job.backend].estimate(job).cost_micros
    return {
        "backend": job.backend,
        "model": job.model,
        "line": job.line,
        "images": jobs,
        "quote_usd": None if quote is None else to_usd(quote.micros),
        "units_usd": {} if quote is None else dict(quote.usd),
        "plan_usd": to_usd(plan_micros),
        "source": None if quote is None else quote.source,
        "asked_at": None if quote is None else now.astimezone(UTC).isoformat(timespec="seconds"),
        "why_not": answer if quote is None else None,
    }


def format_quote(record: Mapping[str, Any]) -> str:
    """One quote for people: the price, where and when it was asked, and what differs from the plan."""
    name = f"quote for {record['backend']}" + (f" ({record['model']})" if record["model"] else "")
    if record["why_not"] is not None:
        return f"{name}: {record['why_not']}"
    units = " + ".join(f"{format_usd(usd)} a {UNIT_NAMES[unit]}" for unit, usd in record["units_usd"].items())
    quoted, planned = record["quote_usd"], record["plan_usd"]
    asked = f"{record['source']}, {record['asked_at']}"
    if quoted is None:
        return f"{name}: {units} ({asked}); what an image of the manifest comes to, it does not say"
    told = f"{name}: {format_usd(quoted)} for the image of line {record['line']} ({units}; {asked})"
    return f"{told}; {_compare(record, quoted, planned)}"


def _compare(record: Mapping[str, Any], quoted: float, planned: float | None) -> str:
    setting = f"set backends.{record['backend']}.price_usd or `prices`"
    if planned is None:
        return f"the plan knows no price: {setting}"
    if abs(quoted - planned) <= DIFFERENT * max(quoted, planned):
        return f"the plan counts {format_usd(planned)} too"
    images = format_count(record["images"], "image")
    difference = format_micros(abs(round((quoted - planned) * record["images"] * 1_000_000)))
    more = "more" if quoted > planned else "less"
    return f"the plan counts {format_usd(planned)}: at the quote {images} like it cost {difference} {more}; {setting}"
