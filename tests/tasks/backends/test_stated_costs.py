"""Costs that a service states, held against the price list: believed within reason, and never in silence where they differ."""

from __future__ import annotations

import pytest

from tasks.backends.stated_costs import StatedCosts
from tests.support.remarks import hear

PRICE = 40_000


@pytest.mark.parametrize(
    ("stated", "expected", "believed", "words"),
    [
        (PRICE, PRICE, PRICE, None),
        (38_000, PRICE, 38_000, None),
        (30_000, PRICE, 30_000, "states a cost of $0.03 where its price is $0.04. It counts as stated"),
        (0, PRICE, 0, "states a cost of $0.00 where its price is $0.04. It counts as stated"),
        (640_000, PRICE, 640_000, None),  # the dearest quality: told where it is more than was set aside
        (3_200_000, PRICE, None, "$3.20 where its price is $0.04: that is another unit"),
        (4_000_000, PRICE, None, "another unit"),
        (400, PRICE, None, "$0.0004 where its price is $0.04: that is another unit"),
        (20_000_000, None, 20_000_000, "$20.00 for an image, and no price is known to hold it against"),
        (50_000, None, 50_000, None),
        (-1, PRICE, None, None),
        (None, PRICE, None, None),
    ],
)
def test_a_stated_cost_that_differs_is_told(
    stated: int | None, expected: int | None, believed: int | None, words: str | None
) -> None:
    """Cents, millionths and old price lists are no cost in silence: what is believed and what is not, each is told once."""
    costs = StatedCosts("flux")
    with hear() as remarks:
        assert [costs.judge(stated, expected) for _ in range(3)] == [believed] * 3
    assert len(remarks) == (words is not None)
    assert words is None or words in remarks[0]


def test_a_cost_of_what_was_called_free_is_told() -> None:
    """`price_usd: 0` is the user's word and counts; that the service bills something is told."""
    with hear() as remarks:
        StatedCosts("flux").tell_free(None)
        StatedCosts("flux").tell_free(50_000)
    assert len(remarks) == 1
    assert "states a cost of $0.05, which counts as nothing because its `price_usd` is 0" in remarks[0]
