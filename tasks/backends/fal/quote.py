"""fal.ai's own price of a model, read from its pricing API (fal.ai/docs, "Platform APIs", read 2026-11)."""

from __future__ import annotations

from typing import Any

import httpx

from tasks.backends.client.answers import parse_json_object
from tasks.backends.fal.api import SERVICE, FalApi
from tasks.backends.prices import Used
from tasks.backends.quotes import NoQuote, Quote, build_quote
from tasks.core.errors import BatchStopped, OutputGone

UNITS = {
    "image": "image",
    "images": "image",
    "megapixel": "megapixel",
    "megapixels": "megapixel",
    "processed megapixels": "megapixel",
    "request": "run",
    "requests": "run",
}
"""Units of fal's prices that a request decides; others, such as seconds of compute, are told as they are."""


async def ask_quote(base: str, api: FalApi, model: str, used: Used) -> Quote:
    """Ask for the model's price, once. It is free.

    Raises:
        NoQuote: fal.ai says no, prices it by something else, or cannot be asked.
    """
    source = f"{base}/models/pricing"
    try:
        answer = await api.ask_free(source, {"endpoint_id": model})
    except OutputGone as exc:
        raise NoQuote(f"{SERVICE} knows no price of {model}") from exc
    except BatchStopped as exc:
        raise NoQuote(str(exc)) from exc
    except httpx.HTTPError as exc:
        raise NoQuote(f"{SERVICE} cannot be asked ({api.calls.describe_error(exc)})") from exc
    entry = _find_entry(parse_json_object(answer).get("prices"), model)
    unit = UNITS.get(str(entry.get("unit", "")).lower())
    if unit is None or str(entry.get("currency", "USD")).upper() != "USD":
        stated = api.calls.error_text(
            f"{entry.get('unit_price')} {entry.get('currency', '')} for each {entry.get('unit')}"
        )
        raise NoQuote(f"{source} prices {model} by something that a plan does not know ({stated})")
    return build_quote({unit: [entry.get("unit_price")]}, used, source=source)


def _find_entry(prices: Any, model: str) -> dict[str, Any]:
    listed = prices if isinstance(prices, list) else []
    for entry in listed:
        if isinstance(entry, dict) and entry.get("endpoint_id") == model:
            return entry
    raise NoQuote(f"{SERVICE} names no price of {model}")
