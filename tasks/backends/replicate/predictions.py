"""What a prediction object says: its state, its output, why it failed, what it cost."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from tasks.errors import JobError, OutputGone, Refused, Transient
from tasks.prices import Price
from tasks.records import Prediction

RUNNING = frozenset({"starting", "processing"})
SUCCEEDED = "succeeded"

# Captured and documented error texts (Replicate docs, "Error codes"; production logs of other clients, read 2026-11).
_MODERATION = re.compile(r"\(E005\)|flagged as sensitive|NSFW", re.IGNORECASE)
_PASSING = re.compile(
    r"\(code: PA\)|Director: unexpected error|\(?E(1000|6716|8765|9825|9828|8367|003|004)\b|please (re)?try",
    re.IGNORECASE,
)


def has_ended(answer: dict[str, Any]) -> bool:
    """Whether the prediction is in a terminal state, or one that we do not know; an answer without one says nothing."""
    return answer.get("status") is not None and answer["status"] not in RUNNING


def ended_prediction(
    answer: dict[str, Any], *, price: Price | None, price_micros: int | None, megapixels: float
) -> Prediction:
    """The prediction of an answer in a terminal state.

    Args:
        answer: A prediction object as the API sends it; optional keys may be absent or null.
        price: The model's price, if known.
        price_micros: The configured price of one image, which overrides it.
        megapixels: Size of the picture as it was asked for.

    Raises:
        Refused, Transient, OutputGone, JobError: It ended without a picture.
    """
    if answer["status"] != SUCCEEDED:
        raise _failure(answer)
    images = _image_count(answer)
    cost_micros = price_micros if price_micros is not None else _priced(price, images, megapixels)
    output = first_output(answer.get("output"))
    if output is None:
        raise _without_output(answer, cost_micros)
    metrics = answer.get("metrics") or {}
    return Prediction(
        prediction_id=answer["id"],
        model_version=answer.get("version"),
        output=output,
        predict_time_s=metrics.get("predict_time"),
        cost_micros=cost_micros,
        cost_source=None if cost_micros is None else "priced",
    )


def first_output(output: Any) -> str | None:
    """The first picture's address, whether the model answers with a string, a list or a dictionary."""
    if isinstance(output, str):
        return output or None
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list):
        return next((found for item in output if (found := first_output(item))), None)
    return None


def seconds_taken(answer: dict[str, Any]) -> float | None:
    """From creation to the end, as the provider's clock has it."""
    try:
        begun, ended = (datetime.fromisoformat(answer[key]) for key in ("created_at", "completed_at"))
    except (KeyError, TypeError, ValueError):
        return None
    return max(0.0, (ended - begun).total_seconds())


def _failure(answer: dict[str, Any]) -> JobError:
    status, error = str(answer["status"]), str(answer.get("error") or "").strip()
    message = error or f"the prediction ended as {status}"
    if status == "aborted":
        return Transient(f"not started in time ({message})", kind="timeout")
    if status == "canceled":
        # Public models bill what ran before a cancel (Replicate changelog, 2025-10-16).
        return Transient(f"canceled while it ran ({message})", kind="canceled", cost_micros=None)
    if status != "failed":
        return JobError(f"the prediction is in an unknown state, {status!r}", kind="unknown_state", cost_micros=None)
    if _MODERATION.search(message):
        return Refused(message)
    return Transient(message) if _PASSING.search(message) else JobError(message)


def _without_output(answer: dict[str, Any], cost_micros: int | None) -> JobError:
    if answer.get("data_removed"):
        return OutputGone(
            "the provider has deleted the picture (it keeps outputs for an hour)", cost_micros=cost_micros
        )
    if _MODERATION.search(str(answer.get("logs") or "")):
        return Refused("the picture was flagged and left out", cost_micros=cost_micros)
    return JobError("the prediction succeeded without a picture", kind="no_output", cost_micros=cost_micros)


def _image_count(answer: dict[str, Any]) -> int:
    metrics = answer.get("metrics") or {}
    reported = metrics.get("image_output_count", metrics.get("image_count"))
    if isinstance(reported, int):
        return reported
    output = answer.get("output")
    return len(output) if isinstance(output, list) else 1


def _priced(price: Price | None, images: int, megapixels: float) -> int | None:
    return None if price is None else price.cost_micros(images=images, megapixels=megapixels)
