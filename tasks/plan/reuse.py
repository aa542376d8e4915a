"""The part of a plan that other batches have made already: counted, priced, and nothing written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.core.configuration.settings import Settings
from tasks.core.memory import split_chunks
from tasks.core.money import format_usd
from tasks.core.text import format_count
from tasks.manifest import Manifest
from tasks.plan.cap_room import Share
from tasks.plan.planner import Planner, PlanOptions, plan_manifest
from tasks.reuse.options import ReuseOptions
from tasks.store.output import Output

SOURCES_SHOWN = 3
"""Batches that a plan names; the others are counted."""


@dataclass(slots=True, kw_only=True)
class Reusable:
    """The images of a plan that need not be paid for."""

    shares: defaultdict[tuple[str, str], Share] = field(default_factory=lambda: defaultdict(Share))
    """By backend and model, with their estimated cost."""
    sources: Counter[str] = field(default_factory=Counter)
    """Images by batch."""
    warnings: list[str] = field(default_factory=list)

    @property
    def images(self) -> int:
        """All of them."""
        return self.sources.total()

    @property
    def saves_micros(self) -> int:
        """Their known prices, in millionths of a dollar."""
        return sum(share.micros for share in self.shares.values())


NOTHING_REUSABLE = Reusable()


async def preview_reuse(
    manifest: Manifest,
    settings: Settings,
    options: PlanOptions,
    out: Output,
    *,
    reuse: ReuseOptions,
    ended: Collection[str],
) -> Reusable:
    """Count the jobs of the manifest whose images other batches have.

    Their files are looked for, and not read: a run reads each before it takes it.

    Args:
        manifest: The manifest, which has been checked.
        settings: The configuration.
        options: Those of the run.
        out: The batch's own output, which is no source.
        reuse: Where to look.
        ended: Ids of jobs that the batch does not take from elsewhere.
    """
    # A plan without reuse needs no database, and starts without loading one.
    from tasks.reuse.finder import Wanted, open_finder  # noqa: PLC0415

    found = Reusable()
    planner = Planner(settings, options, manifest)
    planned = (item for item in plan_manifest(manifest, settings, options) if item.job.job_id not in ended)
    async with open_finder(reuse, out) as finder:
        for chunk in split_chunks(planned):
            wanted = [Wanted(job=it.job, duplicate_number=it.duplicate_number, salt=options.salt) for it in chunk]
            hits = await finder.find(wanted)
            for it in chunk:
                if candidates := hits.get(it.job.job_id):
                    price = planner.backend(it.job.backend).estimate(it.job).cost_micros
                    found.shares[it.job.backend, it.job.model].add(price)
                    found.sources[str(candidates[0].source)] += 1
        found.warnings = finder.list_problems()
    return found


def format_reuse(record: Mapping[str, Any]) -> str:
    """The images that other batches have made, and the money that this saves."""
    sources = [f"{number:,} of {source}" for source, number in record["reused_from"].items()]
    hidden = len(sources) - SOURCES_SHOWN
    more = [format_count(hidden, "more place")] if hidden > 0 else []
    saved = f", which saves {format_usd(record['reuse_saves_usd'])}" if record["reuse_saves_usd"] else ""
    places = ", ".join([*sources[:SOURCES_SHOWN], *more])
    return f"reused for nothing: {format_count(record['reused'], 'image')} ({places}){saved}"
