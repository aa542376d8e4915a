"""What a user asks of a run: dates, and the values that travel through Prefect."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tasks.runs.request import RunRequest

LATE_EVENING_UTC = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day"), [("UTC", "2026-11-24"), ("Europe/Berlin", "2026-11-25"), ("America/New_York", "2026-11-24")]
)
def test_the_date_is_that_of_the_time_zone(zone: str, day: str) -> None:
    """A night in Berlin belongs to Berlin's day, wherever the machine stands."""
    request = RunRequest(out="runs/{date}", salt="v1-{date}", timezone=zone).on(LATE_EVENING_UTC)
    assert (request.out, request.salt) == (f"runs/{day}", f"v1-{day}")


def test_other_braces_stay() -> None:
    """Only {date} is filled in: a folder may be called anything."""
    assert RunRequest(out="runs/{x}", salt="{", timezone="UTC").on(LATE_EVENING_UTC).out == "runs/{x}"


def test_parameters_are_the_request_again() -> None:
    """What goes through Prefect as JSON comes back as the same request, and holds nothing that was not said."""
    request = RunRequest(out="runs/a", manifest="m.yaml", budget_usd=1.5, retry_failed=True)
    assert request.parameters() == {"out": "runs/a", "manifest": "m.yaml", "budget_usd": 1.5, "retry_failed": True}
    assert RunRequest.model_validate(request.parameters()) == request


@pytest.mark.parametrize(
    ("name", "value"),
    [("budget_usd", -1), ("budget_usd", float("nan")), ("limit", 0), ("concurrency", 10_001), ("timezone", "Berlin")],
)
def test_values_out_of_bounds_are_refused(name: str, value: object) -> None:
    """Before anything is sent, and by the name of the parameter."""
    with pytest.raises(ValidationError, match=name):
        RunRequest.model_validate({"out": "x", name: value})
