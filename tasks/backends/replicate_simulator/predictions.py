"""One prediction over time: what it is at an instant follows from a few instants, so nothing runs for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.backends.replicate_simulator.models import HIDDEN_VERSION
from tasks.backends.replicate_simulator.outcomes import ABORTED, CANCELED, SUCCEEDED, Outcome, Request
from tasks.backends.replicate_simulator.simulated_time import format_rfc3339

STARTING, PROCESSING = "starting", "processing"
INTERNAL_OWNER = "replicate-internal"
NEVER = math.inf


@dataclass(slots=True, kw_only=True)
class Prediction:
    """A created prediction. Instants are seconds since 1970 UTC, simulated."""

    request: Request
    outcome: Outcome
    created_s: float
    starts_s: float
    """When it would start; `NEVER` for one that hangs."""
    would_end_s: float
    """When it would end by itself."""
    deadline_s: float = NEVER
    listed_s: float = 0.0
    """From when on the list shows it."""
    deployment: str | None = None
    canceled_s: float = NEVER
    is_renamed: bool = False
    """Answers name its model as the service does."""
    is_listed_bare: bool = False
    """The list has lost its data before its time."""

    @property
    def model_name(self) -> str:
        """Its model in answers."""
        model = self.request.model
        return f"{INTERNAL_OWNER}/{model.name}" if self.is_renamed else model.slug

    @property
    def prediction_id(self) -> str:
        """Its id."""
        return self.request.prediction_id

    @property
    def ended_s(self) -> float:
        """When it ends, one way or another."""
        return min(self.would_end_s, self.deadline_s, self.canceled_s)

    @property
    def ran(self) -> bool:
        """True if it starts before it ends."""
        return self.starts_s <= self.ended_s

    def status(self, now_s: float) -> str:
        """One of the six states of the API."""
        # A prediction that is cancelled before its start ends at once, and never was processing.
        if now_s < min(self.starts_s, self.ended_s):
            return STARTING
        return PROCESSING if now_s < self.ended_s else self._end

    def has_ended(self, now_s: float) -> bool:
        """True if its state will not change any more."""
        return now_s >= self.ended_s

    def cancel(self, now_s: float) -> None:
        """Stop it; one that has ended stays as it is."""
        if not self.has_ended(now_s):
            self.canceled_s = now_s

    def cost_micros(self, now_s: float) -> int:
        """Return the amount billed for it so far.

        Public models bill what ran before a cancel and nothing for what never started (Replicate changelog,
        2025-10-16); whether failed runs are billed is not stated, and taken as free.
        """
        if not self.has_ended(now_s) or not self.ran or self._end not in {SUCCEEDED, CANCELED}:
            return 0
        width, height = self.request.size
        # A cancel during the run bills what was asked for, since no output tells how many were made.
        images = self.outcome.images if self._end == SUCCEEDED else self.request.images
        return self.request.model.cost_micros(images=images, pixels=width * height)

    @property
    def _end(self) -> str:
        if self.would_end_s <= min(self.deadline_s, self.canceled_s):
            # Deadline and cancel count only if they come before the end.
            return self.outcome.status
        return ABORTED if self.deadline_s <= self.canceled_s and not self.ran else CANCELED


def build_created(prediction: Prediction, api_url: str) -> dict[str, Any]:
    """The answer to a create: keys without a value are left out, not null (captured 2024)."""
    # The real service shows keys in an order of its own, so clients must not rely on one.
    return {**_build_head(prediction, api_url, sorted(prediction.request.values)), "logs": "", "status": STARTING}


def build_synchronous(prediction: Prediction, api_url: str, now_s: float) -> dict[str, Any]:
    """The answer to a create that was waited for.

    Captured: a file model's output comes with `processing`, without `completed_at` and `metrics`; a wait that runs out
    says `starting`, whatever is going on.
    """
    body = build_created(prediction, api_url)
    status = prediction.status(now_s)
    if status == SUCCEEDED:
        return {**body, "status": PROCESSING, "output": prediction.outcome.output, "logs": prediction.outcome.logs}
    return {**body, **_build_end(prediction, now_s, is_gone=False)} if prediction.has_ended(now_s) else body


def build_full(prediction: Prediction, api_url: str, now_s: float, *, is_gone: bool) -> dict[str, Any]:
    """The answer to a get: every key is there. `is_gone`: the provider has deleted its data."""
    order = [] if is_gone else sorted(prediction.request.values, reverse=True)
    return {**_build_head(prediction, api_url, order), **_build_end(prediction, now_s, is_gone=is_gone)}


def build_listed(prediction: Prediction, api_url: str, now_s: float, *, is_gone: bool) -> dict[str, Any]:
    """The prediction in a list: as in a get, but without logs and with its input in another order."""
    order = [] if is_gone else sorted(prediction.request.values, key=lambda name: name[::-1])
    body = {**_build_head(prediction, api_url, order), **_build_end(prediction, now_s, is_gone=is_gone)}
    # The documented entries of a list have no logs.
    del body["logs"]
    return body


def _build_head(prediction: Prediction, api_url: str, order: list[str]) -> dict[str, Any]:
    url = f"{api_url}/v1/predictions/{prediction.prediction_id}"
    deadline = {} if prediction.deadline_s == NEVER else {"deadline": format_rfc3339(prediction.deadline_s)}
    deployment = {} if prediction.deployment is None else {"deployment": prediction.deployment}
    return {
        "id": prediction.prediction_id,
        "model": prediction.model_name,
        "version": HIDDEN_VERSION,
        "input": {name: prediction.request.values[name] for name in order},
        "error": None,
        "data_removed": False,
        "created_at": format_rfc3339(prediction.created_s),
        "urls": {
            "cancel": f"{url}/cancel",
            "get": url,
            "web": f"https://replicate.com/p/{prediction.prediction_id}",
        },
        **deadline,
        **deployment,
    }


def _build_end(prediction: Prediction, now_s: float, *, is_gone: bool) -> dict[str, Any]:
    """Return the fields that change while a prediction goes on."""
    status = prediction.status(now_s)
    has_ended = prediction.has_ended(now_s)
    started = prediction.ran and now_s >= prediction.starts_s
    succeeded = status == SUCCEEDED
    outcome = prediction.outcome
    return {
        "status": status,
        "source": "api",
        "output": outcome.output if succeeded and not is_gone else None,
        "error": outcome.error if has_ended and status == outcome.status else None,
        "logs": outcome.logs if succeeded and not is_gone else "",
        "started_at": format_rfc3339(prediction.starts_s) if started else None,
        "completed_at": format_rfc3339(prediction.ended_s) if has_ended else None,
        # The real service gives no metrics for what never ran.
        "metrics": _build_metrics(prediction, status) if has_ended and started else {},
        "data_removed": is_gone,
    }


def _build_metrics(prediction: Prediction, status: str) -> Mapping[str, Any]:
    times = {
        "predict_time": round(prediction.ended_s - prediction.starts_s, 6),
        "total_time": round(prediction.ended_s - prediction.created_s, 6),
    }
    if status != SUCCEEDED:
        return times
    images = prediction.outcome.images
    counts: dict[str, float] = {"image_count": images, "image_output_count": images}
    if prediction.request.model.reports_megapixels:
        # flux-2-pro reported 1 and 0 for an image of 1024x1024 (recorded answer of 2026-05).
        width, height = prediction.request.size
        counts["image_output_megapixel_count"] = images * prediction.request.model.count_megapixels(width * height)
        counts["image_input_megapixel_count"] = 0
    return {**times, **counts}
