"""What an answer says: how a prediction is, where its picture is, what it cost, what went wrong."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.pointers import read
from tasks.core.errors import BadImage, JobError, Refused, Transient
from tasks.core.money import to_micros

USUAL_PLACES = ("/error/message", "/error", "/detail", "/message", "/errors/0")
"""Where APIs say what went wrong, for a configuration that does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutput:
    """A prediction that ended well."""

    picture: bytes | None = None
    address: str | None = None
    cost_micros: int | None = None
    """As the answer says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAnswer:
    """The answer to a create that is not polled."""

    document: Any


def has_ended(document: Any, options: HttpOptions) -> bool:
    """Whether the state is one of the configured ends; any other one is taken for running."""
    state = options.state
    return state is None or str(read(document, state.at)) in {*state.succeeded, *state.failed}


def has_succeeded(document: Any, options: HttpOptions) -> bool:
    """Whether it ended well."""
    state = options.state
    return state is None or str(read(document, state.at)) in state.succeeded


def read_error_text(document: Any, options: HttpOptions) -> str:
    """The service's own words on what went wrong; empty where there are none."""
    places = [options.error] if options.error is not None else USUAL_PLACES
    return next((str(words) for place in places if (words := read(document, place))), "")


def build_failure(document: Any, options: HttpOptions, words: str) -> JobError:
    """Why a prediction ended without a picture.

    Args:
        document: The answer that says so.
        options: The instance's settings.
        words: The service's own, fit for a message.
    """
    reported = read_cost_micros(document, options)
    cost_micros = 0 if options.failures_are_free else reported
    message = words or "the prediction failed"
    if is_refusal(words, options):
        return Refused(message, cost_micros=cost_micros)
    if _contains_any(options.passing, words):
        return Transient(message, cost_micros=cost_micros)
    return JobError(message, cost_micros=cost_micros)


def is_refusal(words: str, options: HttpOptions) -> bool:
    """Whether the words mean that the prompt, or its picture, was refused."""
    return _contains_any(options.moderation, words)


def read_output(document: Any, options: HttpOptions, words: str) -> ImageOutput:
    """The picture of an answer.

    Args:
        document: The answer.
        options: The instance's settings.
        words: What it says went wrong, fit for a message.

    Raises:
        JobError: There is none, or none that can be read. What it cost stands in the error as far as it is known.
    """
    cost_micros, kind = read_cost_micros(document, options), options.output.kind
    output = _find_text(read(document, options.output.at))
    if output is None:
        if words:
            raise build_failure(document, options, words)
        raise JobError("the answer holds no picture", kind="no_output", cost_micros=cost_micros)
    if kind == "url":
        return ImageOutput(address=output, cost_micros=cost_micros)
    try:
        return ImageOutput(picture=_decode_base64(output), cost_micros=cost_micros)
    except binascii.Error as exc:
        message = f"the picture's base64 is damaged ({exc})"
        raise JobError(message, kind=BadImage.kind, cost_micros=cost_micros) from exc


def read_cost_micros(document: Any, options: HttpOptions) -> int | None:
    """What the answer says it cost, in millionths of a dollar; None where it says nothing, or nothing that is a price."""
    try:
        cost_usd = float(read(document, options.cost))
    except (TypeError, ValueError):
        return None
    return to_micros(cost_usd) if isfinite(cost_usd) and cost_usd >= 0 else None


def _decode_base64(text: str) -> bytes:
    # Some APIs answer with a data address.
    head, comma, payload = text.partition(",")
    return base64.b64decode(payload if comma and head.startswith("data:") else text, validate=True)


def _find_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, list):
        return next((found for item in value if (found := _find_text(item))), None)
    return None


def _contains_any(parts: list[str], words: str) -> bool:
    return any(part.lower() in words.lower() for part in parts)
