from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.money import format_micros, format_usd, to_cap_micros, to_micros, to_usd


@pytest.mark.parametrize(
    ("amount_usd", "shown"),
    [
        (0, "$0.00"),
        (0.04, "$0.04"),
        (1.2, "$1.20"),
        (0.003, "$0.003"),
        (0.0125, "$0.0125"),
        (0.000_001, "$0.000001"),
        (0.000_000_2, "less than $0.000001"),
        (12.3456, "$12.35"),
        (1_234_567.891, "$1,234,567.89"),
    ],
)
def test_format_usd(amount_usd: float, shown: str) -> None:
    """Whole cents have two digits, fractions of a cent as many as they need."""
    assert format_usd(amount_usd) == shown


@given(st.integers(min_value=1, max_value=10**15))
def test_nothing_that_costs_is_shown_as_free(micros: int) -> None:
    """No amount above zero is `$0.00`."""
    assert format_micros(micros).strip("$0.,") != ""


@given(st.integers(min_value=0, max_value=10**15))
def test_micros_survive_dollars(micros: int) -> None:
    """A stored amount is the same after it was shown to a program."""
    assert to_micros(to_usd(micros)) == micros


@pytest.mark.parametrize(
    ("amount_usd", "micros"), [(0.29, 290_000), (0.0000009, 0), (1.9999999, 1_999_999), (1e-7, 0), (1e9, 10**15)]
)
def test_a_budget_is_never_rounded_up(amount_usd: float, micros: int) -> None:
    """Not a millionth of a dollar more than the user wrote, and not one less where it can be counted."""
    assert to_cap_micros(amount_usd) == micros
