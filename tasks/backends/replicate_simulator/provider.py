"""The provider behind the API: one account, its limits, its predictions, its faults."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.backends.replicate_simulator.chance import draw, draw_identifier
from tasks.backends.replicate_simulator.faults import FaultPlan
from tasks.backends.replicate_simulator.models import Model
from tasks.backends.replicate_simulator.outcomes import Outcome, Request, decide
from tasks.backends.replicate_simulator.predictions import NEVER, Prediction
from tasks.backends.replicate_simulator.rates import Rates
from tasks.backends.replicate_simulator.settings import Settings
from tasks.backends.replicate_simulator.truth import Tally, Truth, build_truth
from tasks.core.clock import Clock

RETENTION_S = 3_600.0
"""API predictions lose inputs, outputs and files after an hour (Replicate docs, "Data retention", read 2026-11)."""


class Provider:
    """All state of one simulator."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Start with no predictions, full buckets and no faults."""
        self.settings = settings
        self.clock = clock
        self.api_url = ""
        self.delivery_url = ""
        self.foreign_url = ""
        self.rates = Rates(settings, self.now_s)
        self.plan = FaultPlan(settings.seed)
        self.tally = Tally()
        self._predictions: list[Prediction] = []
        self._by_id: dict[str, Prediction] = {}
        # The same input twice is two predictions with two ids, as at the real service.
        self._times_created: Counter[str] = Counter()
        self._warm_from_s: dict[str, float] = {}

    def now_s(self) -> float:
        """Seconds since 1970 UTC by the service's clock."""
        skew = self.plan.rules.get("clock_skew")
        return self.clock.now_us() / 1e6 - (skew.seconds if skew else 0.0)

    def create(
        self, model: Model, values: Mapping[str, Any], *, deadline_after_s: float, deployment: str | None
    ) -> Prediction:
        """A new prediction; nothing can go wrong any more."""
        now_s = self.now_s()
        # Noted as an occasion, though its effect is on the clock of every call.
        self.plan.strikes("clock_skew", model.slug)
        request = self._request(model, values)
        outcome = decide(request, self.plan)
        starts_s, ends_s = self._times(request, outcome, now_s)
        lag = self.plan.strikes("list_lag", request.content, request.prompt)
        prediction = Prediction(
            request=request,
            outcome=outcome,
            created_s=now_s,
            starts_s=starts_s,
            would_end_s=ends_s,
            deadline_s=now_s + deadline_after_s,
            listed_s=now_s + (lag.seconds if lag else 0),
            deployment=deployment,
            is_renamed=self.plan.strikes("renamed_owner", model.slug, request.prompt) is not None,
            is_listed_bare=self.plan.strikes("list_without_data", request.content, request.prompt) is not None,
        )
        self._predictions.append(prediction)
        self._by_id[prediction.prediction_id] = prediction
        return prediction

    def find(self, prediction_id: str) -> Prediction | None:
        """One prediction, if there is such a one."""
        return self._by_id.get(prediction_id)

    def newest_first(self, before: int | None, after_s: float, before_s: float) -> Iterator[tuple[int, Prediction]]:
        """Listed predictions with their places, from the one before a place (else the newest) back to an instant."""
        now_s = self.now_s()
        # Predictions are in the order of their creation, so the window is found by halving.
        oldest = bisect_left(self._predictions, after_s, key=lambda item: item.created_s)
        newest = bisect_left(self._predictions, before_s, key=lambda item: item.created_s)
        for place in range(min(newest, len(self._predictions) if before is None else before) - 1, oldest - 1, -1):
            if self._predictions[place].listed_s <= now_s:
                yield place, self._predictions[place]

    def is_gone(self, prediction: Prediction) -> bool:
        """True if the provider has deleted the prediction's data; the fault holds for all predictions, old ones too."""
        rule = self.plan.rules.get("retention")
        gone = self.now_s() >= prediction.ended_s + (rule.seconds if rule else RETENTION_S)
        # Counted each time, since the fault is a state and not an event.
        if rule and gone:
            self.plan.struck[rule.name] += 1
        return gone

    def truth(self) -> Truth:
        """The account as it is now."""
        return build_truth(self._predictions, self.tally, self.plan.struck, self.now_s())

    def _request(self, model: Model, values: Mapping[str, Any]) -> Request:
        content = describe_content(model, values)
        self._times_created[content] += 1
        subject = draw_identifier(self.settings.seed, content, self._times_created[content])
        start = self.settings.start
        return Request(
            prediction_id=draw_identifier(self.settings.seed, start, subject) if start else subject,
            subject=subject,
            model=model,
            values=values,
            content=content,
            delivery_url=self.delivery_url,
            picture_kb=self.settings.picture_kb,
            shrink=self.settings.shrink,
            picture_folder=self.settings.picture_folder,
        )

    def _times(self, request: Request, outcome: Outcome, now_s: float) -> tuple[float, float]:
        """When the prediction would start and end."""
        settings = self.settings
        deviation = 2 * draw(settings.seed, "latency", request.subject) - 1
        takes_s = settings.latency_s * (1 + settings.latency_spread * deviation)
        # Only the first prediction of a model waits for its boot, and those beside it for the rest of that time.
        warm_s = self._warm_from_s.setdefault(request.model.slug, now_s + settings.cold_boot_s)
        boots_s = max(0.0, warm_s - now_s)
        starts_s = now_s + boots_s + takes_s * settings.starting_share if outcome.starts else NEVER
        return starts_s, now_s + boots_s + takes_s if outcome.ends else NEVER


def describe_content(model: Model, values: Mapping[str, Any]) -> str:
    """Model and input as one text, the same for the same content."""
    return f"{model.slug} {json.dumps(values, sort_keys=True, ensure_ascii=False)}"
