"""What a run of a model costs, from dated data: known to the millionth of a dollar, or unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tasks.records import micros

FILE = Path(__file__).with_name("prices.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one model."""

    model: str
    run_usd: float
    image_usd: float
    megapixel_usd: float
    as_of: date
    """When the price was read."""

    def cost_micros(self, *, images: int, megapixels: float | None) -> int | None:
        """Millionths of a dollar for one run; None where the size decides and is not known.

        A begun megapixel is billed whole (statement of another client of the API, read 2026-11).
        """
        if self.megapixel_usd and megapixels is None:
            return None
        size_usd = self.megapixel_usd * math.ceil(megapixels or 0)
        return micros(self.run_usd + images * (self.image_usd + size_usd))


def price_of(model: str) -> Price | None:
    """The price of `owner/name`, whatever its version; None when none is known."""
    return _prices().get(model.partition(":")[0])


@cache
def _prices() -> dict[str, Price]:
    entries: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {
        entry["model"]: Price(
            model=entry["model"],
            run_usd=entry["usd"].get("run", 0.0),
            image_usd=entry["usd"].get("image", 0.0),
            megapixel_usd=entry["usd"].get("megapixel", 0.0),
            as_of=entry["as_of"],
        )
        for entry in entries
    }
