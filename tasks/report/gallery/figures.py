"""The numbers of the summary, collected in one pass over the ledger."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from tasks.core.clock import to_instant
from tasks.core.money import to_usd
from tasks.core.records import NO_IMAGE_STATES, JobState
from tasks.report.gallery.score_figures import ScoreFigures


@dataclass(slots=True)
class Cost:
    """Images of one day and model, and their money."""

    images: int = 0
    cost_micros: int = 0
    unknown: int = 0
    """Images whose cost is not known."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Grows with `add`; some bytes for each image."""

    # Arrays of integers: a million instants are eight megabytes, and as objects they would be fifty.
    completed_us: array[int] = field(default_factory=lambda: array("q"))
    """When each image was there, in manifest order."""
    latency_ms: dict[str, array[int]] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    """Of each image, by backend."""
    costs: dict[tuple[str, str], Cost] = field(default_factory=lambda: defaultdict(Cost))
    """By day (UTC, `2026-11-24`) and model."""
    scores: ScoreFigures = field(default_factory=ScoreFigures)
    failures: Counter[str] = field(default_factory=Counter)
    """Failed and held jobs by error kind."""

    def add(self, page: Iterable[Mapping[str, Any]]) -> None:
        """Count a page of the ledger's `jobs`."""
        for job in page:
            if job["state"] == JobState.SUCCEEDED:
                self._add_image(job)
            elif job["state"] in NO_IMAGE_STATES:
                self.failures[job["error_kind"] or job["state"]] += 1

    def _add_image(self, job: Mapping[str, Any]) -> None:
        day = ""
        if job["completed_at_us"] is not None:
            self.completed_us.append(job["completed_at_us"])
            day = to_instant(job["completed_at_us"]).date().isoformat()
        if job["latency_ms"] is not None:
            self.latency_ms[job["backend"]].append(job["latency_ms"])
        cost = self.costs[day, job["model"] or job["backend"]]
        cost.images += 1
        cost.cost_micros += job["cost_micros"] or 0
        cost.unknown += job["cost_micros"] is None
        if job["scores"]:
            self.scores.add(job)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The figures as the page shows them: `latency`, `cost`, `failures`, and `scores` where there are any."""
        scores = self.scores.build_table()
        return {
            **({"scores": scores} if scores else {}),
            "latency": [
                {"backend": backend, "images": len(values), **_measure_latency(values)}
                for backend, values in sorted(self.latency_ms.items())
            ],
            "cost": [
                {
                    "day": day,
                    "model": model,
                    "images": cost.images,
                    "cost_usd": to_usd(cost.cost_micros),
                    "unknown": cost.unknown,
                }
                for (day, model), cost in sorted(self.costs.items())
            ],
            "failures": [{"kind": kind, "jobs": jobs} for kind, jobs in self.failures.most_common()],
        }


def _measure_latency(values: array[int]) -> dict[str, float]:
    # Two values have no quantiles of twenty parts; one image is its own median.
    cuts = quantiles(values, n=20, method="inclusive") if len(values) > 1 else [values[0]] * 19
    return {"median_ms": cuts[9], "p95_ms": cuts[18]}
