"""What `imagen plan` shows: what a manifest comes to, and how much of it an output folder has already."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.manifest import Manifest
from tasks.paths import ledger_path
from tasks.plan import PlanOptions, PlanReport, check_manifest, plan_manifest
from tasks.records import usd
from tasks.settings import Settings

LOOKUP_JOBS = 500


def preview(manifest: Manifest, settings: Settings, options: PlanOptions, *, out: Path) -> dict[str, Any]:
    """The plan as programs read it. Writes nothing.

    Raises:
        ManifestError: The manifest has problems; they are all in it.
        ConfigError: A setting cannot be used.
    """
    report = check_manifest(manifest, settings, options)
    known = asyncio.run(_known(manifest, settings, options, out)) if ledger_path(out).is_file() else Counter()
    return {
        "manifest": manifest.display,
        "out": str(out),
        "rows": report.rows,
        "jobs": report.jobs,
        "duplicates": report.duplicates,
        "backends": dict(report.by_backend),
        "done": known["succeeded"],
        "failed": known["failed"],
        "held": known["held"],
        "to_do": report.jobs - known["succeeded"] - known["failed"] - known["held"],
        "estimate_usd": usd(report.estimate_micros),
        "unpriced": report.unpriced,
        "duration_s": round(_left_s(report, known), 1),
    }


def preview_lines(record: dict[str, Any]) -> list[str]:
    """The plan for people."""
    backends = ", ".join(f"{number} on {name}" for name, number in record["backends"].items())
    duplicates = f", {record['duplicates']} of them repeat an earlier row" if record["duplicates"] else ""
    unpriced = f" and {record['unpriced']} images of unknown price" if record["unpriced"] else ""
    lines = [
        f"{record['manifest']}: {record['rows']} rows, {record['jobs']} images ({backends}){duplicates}",
        f"all of them: ${record['estimate_usd']:,.2f}{unpriced}",
        f"to do: {record['to_do']} images, at least {timedelta(seconds=round(record['duration_s']))}",
    ]
    if record["done"] or record["failed"] or record["held"]:
        counts = f"{record['done']} done, {record['failed']} failed, {record['held']} held"
        lines.append(f"already in {record['out']}: {counts}")
    return lines


def _left_s(report: PlanReport, known: Counter[str]) -> float:
    """The plan's duration, less the share that has ended."""
    ended = known["succeeded"] + known["failed"] + known["held"]
    return report.duration_s * (report.jobs - ended) / report.jobs if report.jobs else 0.0


async def _known(manifest: Manifest, settings: Settings, options: PlanOptions, out: Path) -> Counter[str]:
    # A plan for a new folder needs no database, and starts without loading one.
    from tasks.ledger.database import open_ledger  # noqa: PLC0415
    from tasks.ledger.planning import known_states  # noqa: PLC0415

    states: Counter[str] = Counter()
    planned = (item.job.job_id for item in plan_manifest(manifest, settings, options))
    async with open_ledger(out) as engine:
        while chunk := list(islice(planned, LOOKUP_JOBS)):
            states.update((await known_states(engine, chunk)).values())
    return states
