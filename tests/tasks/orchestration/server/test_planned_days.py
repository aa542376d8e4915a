"""Days of schedules, as a Prefect server tells them and as cron lines mean them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tasks.orchestration.server import planned_days
from tasks.orchestration.server.cron_days import list_cron_days
from tasks.orchestration.server.health import ServerError

# A Thursday; the month ends on a Monday.
FIRST, END = date(2026, 11, 26), date(2026, 12, 1)


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 2 * * *", [26, 27, 28, 29, 30]),
        ("*/15 * * * *", [26, 27, 28, 29, 30]),
        ("@daily", [26, 27, 28, 29, 30]),
        ("@weekly", [29]),
        ("0 2 * * 1-5", [26, 27, 30]),
        ("0 2 * * mon,SAT", [28, 30]),
        ("0 2 * * 7", [29]),
        ("0 2 */10 * *", []),
        ("0 2 28/2 * ?", [28, 30]),
        ("0 2 30 11 *", [30]),
        ("0 2 30 11 sat", [28, 30]),
        ("0 2 * 12 *", []),
    ],
)
def test_days_of_a_cron_line(line: str, days: list[int]) -> None:
    """Lists, ranges, steps, names and aliases; where day and weekday are given, either."""
    assert [it.day for it in list_cron_days(line, FIRST, END)] == days


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        ({"interval": 86_400.0 * 2}, [28, 30]),
        ({"interval": 86_400.0 * 7}, []),
        ({"interval": 60}, [27, 28, 29, 30]),
        ({"rrule": "FREQ=WEEKLY"}, []),
    ],
)
def test_one_planned_run_is_no_daily_one(schedule: dict[str, Any], days: list[int]) -> None:
    """The last run of a weekly schedule in a month is followed by none, and not by one on each of the days that are left."""
    found = planned_days._list_days({"active": True, "schedule": schedule}, [FIRST], FIRST + timedelta(days=1), END)
    assert [it.day for it in found] == days


@pytest.mark.parametrize("line", ["0 2 L * *", "0 2 * * 5#3", "", "0 2", "0 2 x * *", "0 2 */0 * *"])
def test_other_lines_are_left_to_prefect(line: str) -> None:
    """None of them is guessed."""
    with pytest.raises(ValueError, match=r".*"):
        list_cron_days(line, FIRST, END)


def answer(monkeypatch: pytest.MonkeyPatch, deployments: Any, runs: Any) -> None:
    """A server with these deployments and planned runs."""

    def post(url: str, _environ: object, _body: object) -> Any:
        return deployments if "deployments" in url else runs

    monkeypatch.setattr(planned_days, "_post", post)
    monkeypatch.setattr(planned_days, "find_users_server", lambda _: "http://u:secret@x/api")


def test_planned_runs_go_on_as_their_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server plans three runs ahead; what is paused or switched off costs nothing, and no password is shown."""
    today = datetime.now(UTC).astimezone()
    starts = [today + timedelta(days=number, minutes=1) for number in (1, 2, 3)]
    deployments = [
        {"id": name, "name": name, "paused": name == "paused", "schedules": [{"active": True, "schedule": schedule}]}
        for name, schedule in (
            ("nightly", {"cron": "0 2 * * *"}),
            ("every", {"interval": 86_400.0}),
            ("paused", {"cron": "0 2 * * *"}),
            ("none", {"cron": "0 2 * * *"}),
        )
    ]
    runs = [
        {"deployment_id": name, "expected_start_time": start.astimezone(UTC).isoformat().replace("+00:00", "Z")}
        for name in ("nightly", "every", "paused", None)
        for start in starts
    ]
    answer(monkeypatch, deployments, runs)
    end = today.date() + timedelta(days=8)
    found = planned_days.find_planned_days({}, end)
    assert found is not None
    assert {name: len(days) for name, days in found.days.items()} == {"nightly": 7, "every": 7}
    assert found.server == "x/api"


@pytest.mark.parametrize("rubbish", [[{}], [1], [{"id": 1, "name": 2, "schedules": [{"schedule": None}]}]])
def test_another_answer_is_one_error(rubbish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not Prefect's costs the forecast its schedules, and nothing else."""
    answer(monkeypatch, rubbish, [])
    with pytest.raises(ServerError, match="does not tell its schedules"):
        planned_days.find_planned_days({}, END)
