"""Prices as a service states them before anything is made: asked for by `imagen plan --ask`, free, and never relied on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tasks.backends.prices import MOST_RUN_USD, Price, Used
from tasks.core.configuration.sections import UnitPrices
from tasks.core.errors import ImagenError
from tasks.core.values import parse_number

Unit = Literal["run", "image", "megapixel", "step", "second"]
"""Units of a quote; those of the price table that a request decides."""


class NoQuote(ImagenError):
    """Raised when a service gives no price that can be understood. Nothing was made or spent; asking again is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Price of one image as its service tells it."""

    usd: Mapping[str, float]
    """Dollars by unit, as stated."""
    micros: int | None
    """Millionths of a dollar for the image that was asked about; None where the units do not tell it."""
    source: str
    """The address that was asked, without what may be a secret in it."""


def build_quote(amounts: Mapping[str, Iterable[Any]], used: Used, *, times: float = 1.0, source: str) -> Quote:
    """The quote from the amounts by unit; of several of one unit the highest counts, for nobody knows which maker it is.

    Raises:
        NoQuote: None of them is a price.
    """
    usd = {unit: max(found) for unit, values in amounts.items() if (found := list(_parse_amounts(values, times)))}
    if not usd:
        raise NoQuote(f"{source} names no price of an image that is understood")
    price = Price(model="", usd=UnitPrices.model_validate(usd), source=source, as_of=None)
    return Quote(usd=usd, micros=price.cost_micros(used), source=source)


def _parse_amounts(values: Iterable[Any], times: float) -> Iterable[float]:
    for value in values:
        try:
            number = float(value) * times if not isinstance(value, bool) else None
        except (TypeError, ValueError, OverflowError):
            continue
        # Outside data: bounded, and never negative.
        if (amount := parse_number(number, most=MOST_RUN_USD)) is not None:
            yield amount
