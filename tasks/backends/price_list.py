"""The known prices as `imagen prices` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from tasks.backends.prices import OLD_DAYS, Price, list_all_prices
from tasks.core.configuration.sections import UnitPrices
from tasks.core.configuration.settings import Settings
from tasks.core.text import align_columns

HEADER = ("model", "price", "as_of", "age_days", "source")
UNIT_NAMES = {
    "run": "run",
    "image": "image",
    "megapixel": "MP",
    "input_megapixel": "input MP",
    "second": "s",
    "step": "step",
    "input_million_tokens": "M input tokens",
    "input_million_image_tokens": "M image tokens in",
    "output_million_tokens": "M output tokens",
    "output_million_text_tokens": "M text tokens out",
}


def list_prices(settings: Settings, today: date) -> list[dict[str, Any]]:
    """One record for each model with a known price, dollars by unit."""
    return [_build_record(price, today) for price in list_all_prices(settings.prices)]


def format_prices(listing: Sequence[dict[str, Any]]) -> list[str]:
    """The listing for people; what is old says so."""
    rows = [
        (
            item["model"],
            _format_units(item["usd"]),
            item["as_of"] or "-",
            # A price that the user has set has no date, and never grows old.
            "-" if item["age_days"] is None else f"{item['age_days']}{' (old)' if item['old'] else ''}",
            item["source"],
        )
        for item in listing
    ]
    return [
        align_columns([HEADER, *rows]),
        "US dollars; a begun megapixel (MP) is counted whole. `prices` and a backend's `price_usd` in the configuration win.",
    ]


def _build_record(price: Price, today: date) -> dict[str, Any]:
    age_days = price.age_days(today)
    return {
        "model": price.model,
        "usd": _list_units(price.usd),
        "as_of": None if price.as_of is None else price.as_of.isoformat(),
        "age_days": age_days,
        # The age is shown in either case; only an old price is worth the reader's attention.
        "old": age_days is not None and age_days > OLD_DAYS,
        "source": price.source,
    }


def _list_units(usd: UnitPrices) -> dict[str, float]:
    return {unit: amount for unit, amount in usd.model_dump().items() if amount}


def _format_units(usd: dict[str, float]) -> str:
    return " + ".join(f"${amount:g}/{UNIT_NAMES[unit]}" for unit, amount in usd.items()) or "free"
