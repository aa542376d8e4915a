"""Reading a prediction object: its state, its output, its error and its cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tasks.backends.prices import Pricing, Used, parse_seconds
from tasks.core.errors import JobError, OutputGone, Refused, Transient
from tasks.core.records import Prediction

RUNNING = frozenset({"starting", "processing"})
SUCCEEDED = "succeeded"
CANCELED = "canceled"
MOST_COUNTED = 1_000
"""Images, or megapixels, of one prediction at most: what is reported beyond that is no count."""
_ADDRESS_SCHEMES = frozenset({"http", "https", "data"})

# Captured and documented error texts (Replicate docs, "Error codes"; production logs of other clients, read 2026-11).
_MODERATION = re.compile(r"\(E005\)|flagged as sensitive|NSFW", re.IGNORECASE)
# E9828 is not always passing: multi-line prompts end in it every time, so the attempts are bounded elsewhere.
_PASSING = re.compile(
    r"\(code: PA\)|Director: unexpected error|\(?E(1000|6716|8765|9825|9828|8367|003|004)\b|please (re)?try",
    re.IGNORECASE,
)


def is_readable(answer: dict[str, Any]) -> bool:
    """True where the answer states a state."""
    return isinstance(answer.get("status"), str)


def has_ended(answer: dict[str, Any]) -> bool:
    """True in a terminal state, or one that is not known; an answer without a readable state says nothing."""
    # `aborted` was added in 2025 and the SDKs still omit it: an unknown state ends the wait rather than polling for
    # ever.
    status = answer.get("status")
    return isinstance(status, str) and bool(status) and status not in RUNNING


def parse_ended(answer: dict[str, Any], pricing: Pricing, asked: Used, *, lists_frames: bool = False) -> Prediction:
    """The prediction of an answer in a terminal state.

    Args:
        answer: A prediction object as the API sends it; optional keys may be absent or null.
        pricing: The instance's prices.
        asked: Counts and sizes of the input; the provider's own figures replace them where it states some.
        lists_frames: The model lists frames of one image: the last one is the image.

    Raises:
        Refused, Transient, OutputGone, JobError: It ended without an image.
    """
    output = answer.get("output")
    addresses = list(find_addresses(output))
    if isinstance(output, dict):  # some models name an image twice, as `image` and in `images`
        addresses = list(dict.fromkeys(addresses))
    used = _measure(answer, asked, images=1 if lists_frames else _count_images(answer, addresses))
    if answer["status"] != SUCCEEDED:
        raise _build_failure(answer, pricing, used)
    cost_micros = pricing.cost_micros(used)
    if not addresses:
        raise _explain_missing_output(answer, cost_micros)
    return Prediction(
        prediction_id=answer["id"],
        model_version=_get_text(answer, "version"),
        # Frames come in order, and the last one is the finished image.
        output=addresses[-1 if lists_frames else 0],
        further=() if lists_frames else tuple(addresses[1:MOST_COUNTED]),
        images=used.images,
        predict_time_s=used.seconds,
        cost_micros=cost_micros,
        cost_source=None if cost_micros is None else "priced",
    )


def find_addresses(output: Any) -> Iterator[str]:
    """Addresses in an output, in their order, whether it is a string, a list or a dictionary; text is text."""
    if isinstance(output, str):
        # An output may be text, such as a caption beside the image; only addresses are fetched.
        if output.partition(":")[0].lower() in _ADDRESS_SCHEMES:
            yield output
    elif isinstance(output, dict | list):
        for item in output.values() if isinstance(output, dict) else output:
            yield from find_addresses(item)


def parse_created(answer: dict[str, Any]) -> Prediction:
    """The prediction of an answer to a create, or of a list entry: its facts while it runs."""
    created_at = _parse_instant(answer, "created_at")
    version = _get_text(answer, "version")
    return Prediction(prediction_id=answer["id"], model_version=version, created_at=created_at)


def measure_seconds(answer: dict[str, Any]) -> float | None:
    """Seconds from creation to the end by the provider's clock."""
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
        # Before its start: nothing was billed (Replicate changelog, 2025-10-16).
        return Transient(f"not started in time ({message})", kind="timeout")
    if status == CANCELED:
        return _classify_cancel(answer, message)
    if status != "failed":
        # Unknown states are an error and not "still running": otherwise a new one would be polled until the time-out.
        return JobError(f"the prediction is in an unknown state, {status!r}", kind="unknown_state", cost_micros=None)
    if _MODERATION.search(message):
        return Refused(message)
    return Transient(message) if _PASSING.search(message) else JobError(message)


def _classify_cancel(answer: dict[str, Any], message: str) -> JobError:
    """Tell a cancel in the queue, which is free, from one of a prediction that ran."""
    # A key that is left out proves nothing: answers to creates leave out whatever has no value yet.
    if answer.get("started_at", ...) is None and not (answer.get("metrics") or {}):
        return Transient(f"canceled before it started ({message})", kind=CANCELED)
    # Public models bill what ran before a cancel (Replicate changelog, 2025-10-16).
    return Transient(f"canceled while it ran, which may be billed ({message})", kind=CANCELED, cost_micros=None)


def _explain_missing_output(answer: dict[str, Any], cost_micros: int | None) -> JobError:
    if answer.get("data_removed"):
        return OutputGone("the provider has deleted the image (it keeps outputs for an hour)", cost_micros=cost_micros)
    # FLUX drops a flagged image and ends as succeeded; its log is the only place that says so (cog-flux, read 2026-11).
    if _MODERATION.search(str(answer.get("logs") or "")):
        return Refused("the image was flagged and left out", cost_micros=cost_micros)
    return JobError("the prediction succeeded without an image", kind="no_output", cost_micros=cost_micros)


def _count_images(answer: dict[str, Any], addresses: Sequence[str]) -> int:
    # Without any address, an output that is there still counts as one image: it was billed.
    return len(addresses) or int(answer.get("output") != [])


def _measure(answer: dict[str, Any], asked: Used, *, images: int) -> Used:
    """Figures of a prediction as the provider states them, where they are figures; else those of the input."""
    metrics = answer.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    counted = _get_figure(metrics, "image_output_count", "image_count")
    megapixels = _get_figure(metrics, "image_output_megapixel_count")
    sent = _get_figure(metrics, "image_input_megapixel_count")
    if counted is not None:
        # The service's count is believed, but not below one where an image has come.
        images = max(int(counted), min(images, 1))
    return replace(
        asked,
        images=images,
        # The metric is the sum over all images, and the price is for each.
        megapixels=asked.megapixels if megapixels is None else megapixels / max(1, images),
        input_megapixels=asked.input_megapixels if sent is None else sent,
        seconds=parse_seconds(metrics.get("predict_time")),
    )


def _get_figure(metrics: dict[str, Any], *names: str) -> float | None:
    """The first of the metrics that is a believable count."""
    for name in names:
        value = metrics.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST_COUNTED:
            return float(value)
    return None


def _get_text(answer: dict[str, Any], key: str) -> str | None:
    value = answer.get(key)
    return value if isinstance(value, str) else None
