"""A backend whose calls end as a test says, and which keeps the truth of what it made and would have billed.

It stands in for a paid service that cannot be had in a test; what it keeps is checked against the ledger.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO

from PIL import Image

from tasks.backends.base import Allowance, Estimate
from tasks.core.records import Job, Prediction

PRICE_MICROS = 3_000


def picture(width: int = 32, height: int = 32) -> bytes:
    """A small whole PNG."""
    file = BytesIO()
    Image.new("RGB", (width, height), (200, 80, 40)).save(file, "PNG")
    return file.getvalue()


@dataclass
class ScriptedBackend:
    """Each call takes the next outcome of its list for the job; an empty list means success."""

    price_micros: int | None = PRICE_MICROS
    most_micros: int | None = None
    """None: the price."""
    latency_s: float = 0.0
    on_submit: dict[str, deque[Exception]] = field(default_factory=lambda: defaultdict(deque))
    """By row id. Raised instead of an answer; `created_anyway` says which still created (and billed)."""
    created_anyway: set[str] = field(default_factory=set)
    on_wait: dict[str, deque[Exception]] = field(default_factory=lambda: defaultdict(deque))
    on_fetch: dict[str, deque[Exception | bytes]] = field(default_factory=lambda: defaultdict(deque))
    on_find: Callable[[Job], Prediction | None] | None = None
    billed: Counter[str] = field(default_factory=Counter)
    """Predictions created, by job_id: the ground truth."""
    calls: Counter[str] = field(default_factory=Counter)
    cancelled: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    before_submit: Callable[[Job], None] | None = None

    def ready(self) -> str | None:
        return None

    def learn(self) -> None:
        self.calls["learn"] += 1

    def problems(self, job: Job) -> list[str]:
        return []

    def estimate(self, job: Job) -> Estimate:
        most_micros = self.price_micros if self.most_micros is None else self.most_micros
        return Estimate(cost_micros=self.price_micros, most_micros=most_micros, latency_s=self.latency_s)

    def allowance(self) -> Allowance:
        return Allowance(account="scripted", creates_per_min=None)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        self.calls["submit"] += 1
        if self.before_submit is not None:
            self.before_submit(job)
        script = self.on_submit[job.id or ""]
        error = script.popleft() if script else None
        if error is None or job.id in self.created_anyway:
            self.billed[job.job_id] += 1
        if error is not None:
            raise error
        return Prediction(prediction_id=f"{job.id}/{self.billed[job.job_id]}")

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        self.calls["find"] += 1
        if self.on_find is not None:
            return self.on_find(job)
        created = f"{job.id}/{self.billed[job.job_id]}"
        return Prediction(prediction_id=created) if self.billed[job.job_id] and created not in known else None

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        self.calls["wait"] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self.in_flight -= 1
        script = self.on_wait[job.id or ""]
        if script:
            raise script.popleft()
        return Prediction(prediction_id=prediction.prediction_id, cost_micros=self.price_micros, cost_source="priced")

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        self.calls["fetch"] += 1
        script = self.on_fetch[job.id or ""]
        outcome = script.popleft() if script else picture()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def cancel(self, prediction: Prediction) -> None:
        self.cancelled.append(prediction.prediction_id)

    async def close(self) -> None:
        self.calls["close"] += 1
