"""Prices: dated data, units that add up, the user's own first, and a word where one is old."""

from __future__ import annotations

from datetime import date

import pytest

from tasks.backends.price_list import format_prices, list_prices
from tasks.backends.prices import OLD_DAYS, Used, find_price, list_all_prices, parse_seconds, warn_of_old_prices
from tasks.core.configuration.sections import UnitPrices
from tasks.core.configuration.settings import Settings

READ_ON = date(2026, 10, 7)


@pytest.mark.parametrize(
    ("usd", "used", "expected"),
    [
        (UnitPrices(image=0.003), Used(images=2), 6_000),
        (UnitPrices(run=0.015, megapixel=0.015), Used(images=1, megapixels=1.05), 45_000),
        (UnitPrices(megapixel=0.01), Used(images=3, megapixels=1.0), 30_000),
        (UnitPrices(megapixel=0.01), Used(images=1), None),
        (UnitPrices(run=0.01, input_megapixel=0.02), Used(images=1), 10_000),
        (UnitPrices(run=0.01, input_megapixel=0.02), Used(images=1, input_megapixels=2.25), 70_000),
        (UnitPrices(run=0.01, input_megapixel=0.02), Used(images=1, input_megapixels=None), None),
        (UnitPrices(image=0.01), Used(images=1, input_megapixels=None), 10_000),
        (UnitPrices(input_million_tokens=2.0), Used(images=1, input_tokens=10, input_image_tokens=4), None),
        (
            UnitPrices(input_million_tokens=2.0, input_million_image_tokens=2.5),
            Used(images=1, input_tokens=10, input_image_tokens=4),
            30,
        ),
        (UnitPrices(second=0.001), Used(images=1, seconds=2.5), 2_500),
        (UnitPrices(second=0.001), Used(images=1), None),
        (
            UnitPrices(input_million_tokens=5, output_million_tokens=30),
            Used(images=1, input_tokens=100, output_tokens=1_000),
            30_500,
        ),
        (UnitPrices(input_million_tokens=5), Used(images=1), None),
        (UnitPrices(), Used(images=1), 0),
    ],
)
def test_units_add_up_and_what_is_not_known_makes_the_cost_unknown(
    usd: UnitPrices, used: Used, expected: int | None
) -> None:
    """Begun megapixels are whole; a unit that the model does not bill is never asked for."""
    price = find_price("a/b", {"a/b": usd})
    assert price is not None
    assert price.cost_micros(used) == expected


def test_the_configuration_wins_over_the_table() -> None:
    """And adds what the table does not have; a version does not matter."""
    own = {"black-forest-labs/flux-schnell": UnitPrices(image=0.001)}
    price = find_price("black-forest-labs/flux-schnell:abc", own)
    assert price is not None
    assert (price.usd.image, price.as_of) == (0.001, None)
    assert find_price("nobody/knows-it", own) is None


def test_every_price_of_the_table_has_a_date_and_a_source() -> None:
    """A price without them could not be told from a guess."""
    prices = list_all_prices({})
    assert len(prices) > 30
    assert all(price.as_of is not None and price.source and any(price.usd.model_dump().values()) for price in prices)


def test_an_old_price_is_a_warning_that_names_the_settings() -> None:
    """After 180 days, not on the last of them; the user's own price is nobody's business."""
    on_the_day = date.fromordinal(READ_ON.toordinal() + OLD_DAYS)
    assert list(warn_of_old_prices({"flux": READ_ON}, on_the_day)) == []
    [line] = warn_of_old_prices({"flux": READ_ON}, date.fromordinal(on_the_day.toordinal() + 1))
    assert "181 days ago (2026-10-07)" in line
    assert "backends.flux.price_usd" in line


def test_the_list_shows_price_source_and_age() -> None:
    """For programs as numbers, for people as words; the user's own prices are among them."""
    settings = Settings(prices={"my/model": UnitPrices(run=0.5)})
    listing = {item["model"]: item for item in list_prices(settings, date(2027, 11, 24))}
    assert listing["my/model"] == {
        "model": "my/model",
        "usd": {"run": 0.5},
        "as_of": None,
        "age_days": None,
        "old": False,
        "source": "your configuration",
    }
    flux = listing["black-forest-labs/flux-2-pro"]
    assert (flux["usd"], flux["age_days"], flux["old"]) == (
        {"run": 0.015, "megapixel": 0.015, "input_megapixel": 0.015},
        413,
        True,
    )
    lines = format_prices(list(listing.values()))[0].splitlines()
    assert any("$0.015/run + $0.015/MP + $0.015/input MP" in line and "413 (old)" in line for line in lines)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (1.5, 1.5), (2, 2.0), (0, 0.0), (None, None), (-1, None), ("1.5", None), (True, None), (10**400, None),
        (float("inf"), None), (float("nan"), None),
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(stated: object, expected: float | None) -> None:
    """JSON may say 1e400: nothing can be priced by it, and neither the table nor the gallery could hold it."""
    assert parse_seconds(stated) == expected
