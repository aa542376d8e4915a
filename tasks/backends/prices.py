"""The price of a model's run: dated data, and the entries that are too old to rely on.

Takes a model's name and what a run used, gives millionths of a dollar, or None where the price is not known. No
provider's API tells its prices (Replicate's, read 2026-11), so they are read by people and carry a date.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tasks.core.configuration.sections import UnitPrices
from tasks.core.money import to_micros
from tasks.core.presets import list_presets, load_preset
from tasks.core.values import parse_number

FILE = Path(__file__).with_name("prices.yaml")
# Half a year: new models replace old ones, and their prices, within about that time.
OLD_DAYS = 180
"""An older price is worth a look before it is relied on."""
MOST_S = 10**9
"""Of compute: more than a human life of it is a mistake."""
MOST_TOKENS, MOST_IMAGES, MOST_MEGAPIXELS = 10**8, 1_000, 10_000.0
"""Of one run, as its service states them: what is more is not believed, and the cost is unknown."""
MOST_RUN_USD = 10_000.0
CONFIGURED = "your configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """The quantities that one run used; None where unknown."""

    images: int
    megapixels: float | None = None
    """Of one output image."""
    input_megapixels: float | None = 0.0
    """Of all reference images."""
    seconds: float | None = None
    """Of compute."""
    steps: float | None = None
    """Of one image."""
    input_tokens: float | None = None
    """Of the prompt."""
    input_image_tokens: float | None = 0.0
    """Of all reference images."""
    output_tokens: float | None = None
    """Of all output images."""
    output_text_tokens: float | None = 0.0
    """Of the text that comes beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one model."""

    model: str
    usd: UnitPrices
    source: str
    as_of: date | None
    """When it was read; None for one that the user has set."""

    def cost_micros(self, used: Used) -> int | None:
        """Millionths of a dollar for one run; None where something decides that is not known.

        A begun megapixel is billed whole (statement of another client of the API, read 2026-11).
        """
        # Every unit that a service bills by. A model's price uses a few of them, and the others are zero.
        parts = (
            (self.usd.run, 1.0),
            (self.usd.image, used.images),
            (self.usd.megapixel, _round_up_megapixels(used.megapixels, used.images)),
            (self.usd.input_megapixel, _round_up_megapixels(used.input_megapixels)),
            (self.usd.second, used.seconds),
            (self.usd.step, None if used.steps is None else used.steps * used.images),
            (self.usd.input_million_tokens, _to_millions(used.input_tokens)),
            (self.usd.input_million_image_tokens, _to_millions(used.input_image_tokens)),
            (self.usd.output_million_tokens, _to_millions(used.output_tokens)),
            # A text without a price of its own is priced as the image is: rather too much than nothing.
            (
                self.usd.output_million_text_tokens or self.usd.output_million_tokens,
                _to_millions(used.output_text_tokens),
            ),
        )
        # What reference images cost is not known of every model, and never nothing where its prompts cost something.
        if self.usd.input_million_tokens and not self.usd.input_million_image_tokens and used.input_image_tokens != 0:
            return None
        asked = [(usd, times) for usd, times in parts if usd]
        # A price that counts something unknown is unknown as a whole: a part of it would look like a bill, and be too
        # low.
        if any(times is None for _, times in asked):
            return None
        total = sum(usd * (times or 0.0) for usd, times in asked)
        # A sum beyond what any run can cost is a broken price or count, and to be unknown is better than to be wrong.
        return to_micros(parse_number(total, most=MOST_RUN_USD))

    def age_days(self, today: date) -> int | None:
        """Days since it was read; None for one that the user has set."""
        return None if self.as_of is None else (today - self.as_of).days


def parse_seconds(value: Any) -> float | None:
    """Seconds as a service states them; None for what is no time, which no price, table or page could hold."""
    return parse_number(value, most=MOST_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """The prices of one backend instance's attempts."""

    price: Price | None
    """The model's price, if known."""
    image_micros: int | None
    """The configured price of one image, which overrides it."""

    @property
    def free(self) -> bool:
        """True if nothing that is sent can cost anything, because the user says so."""
        return self.image_micros == 0

    @property
    def by_time(self) -> bool:
        """True if a run costs something that gives no image."""
        return self.image_micros is None and self.price is not None and self.price.usd.second > 0

    @property
    def priced_on(self) -> date | None:
        """When the price was read; None where it is the user's own, or there is none."""
        return self.price.as_of if self.price and self.image_micros is None else None

    def cost_micros(self, used: Used) -> int | None:
        """Millionths of a dollar; None where no price is known."""
        if self.image_micros is not None:
            return self.image_micros * used.images
        return None if self.price is None else self.price.cost_micros(used)


def find_price(model: str, configured: Mapping[str, UnitPrices], *, service: str = "") -> Price | None:
    """The price of `owner/name`, whatever its version: the configured one first; None when none is known.

    Args:
        model: As the service calls it.
        configured: The user's prices by model, or by `service/model`.
        service: Name of the image service, whose own price comes first: one model has several makers.
    """
    # A version has no price of its own: `owner/name:version` costs what the model costs.
    name = model.partition(":")[0]
    names = (f"{service}/{name}", name) if service else (name,)
    for known in names:
        if known in configured:
            return Price(model=known, usd=configured[known], source=CONFIGURED, as_of=None)
    return next((price for known in names if (price := _load_table().get(known))), None)


def list_all_prices(configured: Mapping[str, UnitPrices]) -> list[Price]:
    """Every known price by model, the configured ones in place of the table's."""
    names = sorted({*_load_table(), *configured})
    return [price for name in names if (price := find_price(name, configured))]


def dump_list_prices() -> str:
    """The built-in prices as JSON, by model; `parse_list_prices` reads them in whatever later version."""
    return json.dumps({name: price.usd.model_dump(exclude_defaults=True) for name, price in _load_table().items()})


def parse_list_prices(text: str) -> dict[str, UnitPrices]:
    """The built-in prices of an earlier run; a model whose units this version does not know is left out."""
    found = {}
    for name, usd in json.loads(text).items():
        with suppress(ValidationError):
            found[name] = UnitPrices.model_validate(usd)
    return found


def warn_of_old_prices(priced_on: Mapping[str, date], today: date) -> Iterator[str]:
    """A line for each backend whose price was read too long ago.

    Args:
        priced_on: When the price of each backend instance was read.
        today: The present day.
    """
    for backend, as_of in priced_on.items():
        if (age_days := (today - as_of).days) > OLD_DAYS:
            yield (
                f"the price of backend {backend!r} was read {age_days} days ago ({as_of}); look it up and set prices "
                f"or backends.{backend}.price_usd in the configuration"
            )


def _round_up_megapixels(megapixels: float | None, images: int = 1) -> float | None:
    # Each image is rounded up by itself: two images of 1.1 megapixels are billed as four, not as three.
    return None if megapixels is None else float(math.ceil(megapixels) * images)


def _to_millions(tokens: float | None) -> float | None:
    return None if tokens is None else tokens / 1e6


# Read once in a process: a plan of a million rows asks for the price of each of them.
@cache
def _load_table() -> dict[str, Price]:
    blocks: Iterable[dict[str, Any]] = yaml.load(FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    table = {
        model: Price(model=model, usd=UnitPrices.model_validate(usd), source=block["source"], as_of=block["as_of"])
        for block in blocks
        for model, usd in block["usd"].items()
    }
    return table | {price.model: price for name in list_presets() for price in _list_service_prices(name)}


def _list_service_prices(name: str) -> Iterator[Price]:
    """The prices of an image service, under its name: `stability/core`."""
    preset = load_preset(name)
    for model, usd in preset.prices.items():
        units = UnitPrices.model_validate(usd)
        yield Price(
            model=f"{name}/{model}", usd=units, source=preset.prices_from or preset.title, as_of=preset.prices_on
        )
