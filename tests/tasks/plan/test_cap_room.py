"""The room that a plan finds in each cap, in words."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.plan.cap_room import format_room

CAP = {
    "frees_at": "2026-11-27T00:00:00+00:00",
    "timezone": "UTC",
    "words": "a cap",
    "takes_unpriced": 0,
    "problem": None,
}


@pytest.mark.parametrize(
    ("cap", "told"),
    [
        ({"unit": "usd", "usd": 20.0, "images": None, "free": 0.0, "takes": 1.0}, "resumed from 2026-11-27 00:00 UTC"),
        ({"unit": "usd", "usd": 0.0, "images": None, "free": 0.0, "takes": 1.0}, "it allows nothing at all; raise it"),
        ({"unit": "images", "usd": None, "images": 0, "free": 0, "takes": 2}, "it allows nothing at all; raise it"),
    ],
    ids=["full", "no dollars", "no images"],
)
def test_a_cap_of_nothing_is_not_said_to_free(cap: dict[str, Any], told: str) -> None:
    """A full cap frees with its day; one of zero has to be raised."""
    assert format_room({**CAP, **cap, "enough": False}).endswith(told if "raise" in told else f"{told} on")
