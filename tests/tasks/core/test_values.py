"""Values that somebody else sends: what is believed, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.values import parse_count, parse_identifier, parse_number

NO_NUMBERS = [-1, -0.1, 101, 10**400, float("inf"), float("-inf"), float("nan"), True, "5", None, [], {}]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_is_none(value: Any) -> None:
    """Negative, infinite, too large and mistyped values never reach a sum."""
    assert parse_number(value, most=100) is None
    assert parse_count(value, most=100) is None


@pytest.mark.parametrize(("value", "count"), [(0, 0), (4, 4), (4.0, 4), (100, 100), (0.5, None)])
def test_counts_are_whole(value: Any, count: int | None) -> None:
    """4.0 is four; a half of an image is not believed."""
    assert parse_count(value, most=100) == count
    assert parse_number(value, most=100) == float(value)


@pytest.mark.parametrize(("value", "text"), [("abc-1", "abc-1"), (7, "7"), ("\u00e9", "\u00e9"), ("a b", "a b")])
def test_identifiers_are_text(value: Any, text: str) -> None:
    """A number is its digits."""
    assert parse_identifier(value) == text


@pytest.mark.parametrize(
    "value", ["", "\ud83d", "a\x00b", "a\nb", "\x1b[31m", "x" * 513, 10**40, True, None, {}, ["a"]]
)
def test_what_no_database_takes_is_no_identifier(value: Any) -> None:
    """One odd answer cannot fail the transaction that it would stand in."""
    assert parse_identifier(value) is None
