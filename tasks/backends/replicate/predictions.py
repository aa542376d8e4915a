"""What a prediction object says: its state, its output, why it failed, what it cost."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from tasks.backends.prices import Pricing, Used, parse_seconds
from tasks.core.errors import JobError, OutputGone, Refused, Transient
from tasks.core.records import Prediction

RUNNING = frozenset({"starting", "processing"})
SUCCEEDED = "succeeded"
CANCELED = "canceled"

# Captured and documented error texts (Replicate docs, "Error codes"; production logs of other clients, read 2026-11).
_MODERATION = re.compile(r"\(E005\)|flagged as sensitive|NSFW", re.IGNORECASE)
_PASSING = re.compile(
    r"\(code: PA\)|Director: unexpected error|\(?E(1000|6716|8765|9825|9828|8367|003|004)\b|please (re)?try",
    re.IGNORECASE,
)


def has_ended(answer: dict[str, Any]) -> bool:
    """Whether the prediction is in a terminal state, or one that we do not know; an answer without one says nothing."""
    return answer.get("status") is not None and answer["status"] not in RUNNING


def parse_ended(answer: dict[str, Any], pricing: Pricing, asked: Used) -> Prediction:
    """The prediction of an answer in a terminal state.

    Args:
        answer: A prediction object as the API sends it; optional keys may be absent or null.
        pricing: The instance's prices.
        asked: What the input asks for; the provider's own figures come in its place where there are any.

    Raises:
        Refused, Transient, OutputGone, JobError: It ended without a picture.
    """
    metrics = answer.get("metrics") or {}
    used = replace(asked, images=_count_images(answer), seconds=parse_seconds(metrics.get("predict_time")))
    if answer["status"] != SUCCEEDED:
        raise _build_failure(answer, pricing, used)
    cost_micros = pricing.cost_micros(used)
    output = find_first_output(answer.get("output"))
    if output is None:
        raise _explain_missing_output(answer, cost_micros)
    return Prediction(
        prediction_id=answer["id"],
        model_version=answer.get("version"),
        output=output,
        predict_time_s=used.seconds,
        cost_micros=cost_micros,
        cost_source=None if cost_micros is None else "priced",
    )


def find_first_output(output: Any) -> str | None:
    """The first picture's address, whether the model answers with a string, a list or a dictionary."""
    if isinstance(output, str):
        return output or None
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list):
        return next((found for item in output if (found := find_first_output(item))), None)
    return None


def parse_created(answer: dict[str, Any]) -> Prediction:
    """The prediction of an answer to a create, or of a list: all that is known while it runs."""
    created_at = _parse_instant(answer, "created_at")
    return Prediction(prediction_id=answer["id"], model_version=answer.get("version"), created_at=created_at)


def measure_seconds(answer: dict[str, Any]) -> float | None:
    """From creation to the end, as the provider's clock has it."""
    begun, ended = _parse_instant(answer, "created_at"), _parse_instant(answer, "completed_at")
    return None if begun is None or ended is None else max(0.0, (ended - begun).total_seconds())


def _parse_instant(answer: dict[str, Any], key: str) -> datetime | None:
    """An aware instant of the answer; None where there is none that can be read."""
    try:
        moment = datetime.fromisoformat(answer[key])
    except (KeyError, TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _build_failure(answer: dict[str, Any], pricing: Pricing, used: Used) -> JobError:
    error = _classify_failure(answer)
    may_be_billed = error.cost_micros == 0 or error.error_kind == CANCELED
    if may_be_billed and pricing.by_time and answer.get("started_at"):
        # Such models bill the time that they ran, whatever came of it (Replicate docs, "Billing", read 2026-11).
        error.cost_micros = pricing.cost_micros(replace(used, images=0))
    return error


def _classify_failure(answer: dict[str, Any]) -> JobError:
    status, error = str(answer["status"]), str(answer.get("error") or "").strip()
    message = error or f"the prediction ended as {status}"
    if status == "aborted":
        return Transient(f"not started in time ({message})", kind="timeout")
    if status == CANCELED:
        # Public models bill what ran before a cancel (Replicate changelog, 2025-10-16).
        return Transient(f"canceled while it ran ({message})", kind=CANCELED, cost_micros=None)
    if status != "failed":
        return JobError(f"the prediction is in an unknown state, {status!r}", kind="unknown_state", cost_micros=None)
    if _MODERATION.search(message):
        return Refused(message)
    return Transient(message) if _PASSING.search(message) else JobError(message)


def _explain_missing_output(answer: dict[str, Any], cost_micros: int | None) -> JobError:
    if answer.get("data_removed"):
        return OutputGone(
            "the provider has deleted the picture (it keeps outputs for an hour)", cost_micros=cost_micros
        )
    if _MODERATION.search(str(answer.get("logs") or "")):
        return Refused("the picture was flagged and left out", cost_micros=cost_micros)
    return JobError("the prediction succeeded without a picture", kind="no_output", cost_micros=cost_micros)


def _count_images(answer: dict[str, Any]) -> int:
    metrics = answer.get("metrics") or {}
    reported = metrics.get("image_output_count", metrics.get("image_count"))
    if isinstance(reported, int):
        return reported
    output = answer.get("output")
    return len(output) if isinstance(output, list) else 1
