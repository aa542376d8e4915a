"""Days until the end of a month on which deployments run, as a Prefect server plans them; without importing Prefect."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from math import ceil
from typing import Any

from tasks.core.safe_text import error_text
from tasks.orchestration.server.connection import find_users_server
from tasks.orchestration.server.cron_days import list_cron_days
from tasks.orchestration.server.health import ServerError
from tasks.orchestration.server.user_settings import find_setting
from tasks.usage.costs.forecast import PlannedDays

FLOW = "generate-batch"
TIMEOUT_S = 10.0
PAGE_ROWS = 200
"""Of one answer; Prefect's own limit."""
MOST_PAGES = 50
MOST_BYTES = 16 * 1024**2
DAY = timedelta(days=1)


def find_planned_days(environ: MutableMapping[str, str], end: date) -> PlannedDays | None:
    """Ask the user's server for the runs to come before `end` (exclusive, in local time). Blocks.

    Returns:
        None where no server is found.

    Raises:
        ServerError: The server does not answer, or not as Prefect's does.
    """
    if (api_url := find_users_server(environ)) is None:
        return None
    try:
        return PlannedDays(server=api_url.rpartition("@")[2], days=_read_days(api_url, environ, end))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException) as exc:
        raise ServerError(
            f"the Prefect server does not tell its schedules ({error_text(exc, most_chars=120)})"
        ) from None


def _read_days(api_url: str, environ: Mapping[str, str], end: date) -> dict[str, list[date]]:
    deployments = [it for it in _read_all(api_url, environ, "deployments", {}) if not it.get("paused")]
    planned = _read_planned(api_url, environ, end)
    days: dict[str, list[date]] = {}
    for it in deployments:
        runs = planned.get(it["id"], [])
        # A server plans only a few runs ahead, so the days behind the last one are those of the schedule.
        after = max(runs, default=datetime.now(UTC).astimezone().date()) + DAY
        coming = {day for schedule in it.get("schedules") or [] for day in _list_days(schedule, runs, after, end)}
        if found := sorted({*runs, *coming}):
            days[str(it["name"])] = found
    return days


def _read_planned(api_url: str, environ: Mapping[str, str], end: date) -> dict[str, list[date]]:
    """The local days of the runs that the server has planned before `end`, by deployment; in order."""
    now, until = datetime.now(UTC), datetime.combine(end, time()).astimezone(UTC)
    wanted = {
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"after_": now.isoformat(), "before_": until.isoformat()},
        },
        "sort": "EXPECTED_START_TIME_ASC",
    }
    days: defaultdict[str, list[date]] = defaultdict(list)
    for run in _read_all(api_url, environ, "flow_runs", wanted):
        start = datetime.fromisoformat(run["expected_start_time"])
        days[run.get("deployment_id") or ""].append(start.astimezone().date())
    return days


def _list_days(schedule: Mapping[str, Any], runs: Sequence[date], first: date, end: date) -> list[date]:
    """Days on which a schedule comes from `first` on."""
    line = schedule["schedule"].get("cron")
    if not schedule.get("active") or not runs:
        return []
    with suppress(ValueError):
        if line:
            return list_cron_days(str(line), first, end)
    if seconds := schedule["schedule"].get("interval"):
        apart = max(DAY, timedelta(seconds=float(seconds)))
    elif len(runs) > 1:
        # A line of Prefect's own words: as far apart as the planned runs are.
        apart = max(DAY, (runs[-1] - runs[0]) / (len(runs) - 1))
    else:
        # A server plans several runs ahead, so that its second one is behind the month's end.
        return []
    count = ceil((end - first) / apart)
    return [day for day in (runs[-1] + apart * number for number in range(1, count + 1)) if day < end]


def _read_all(api_url: str, environ: Mapping[str, str], what: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything of one kind that belongs to the flow, page by page."""
    for page in range(MOST_PAGES):
        wanted = {**body, "flows": {"name": {"any_": [FLOW]}}, "limit": PAGE_ROWS, "offset": page * PAGE_ROWS}
        found = _post(f"{api_url.rstrip('/')}/{what}/filter", environ, wanted)
        yield from found
        if len(found) < PAGE_ROWS:
            return


def _post(url: str, environ: Mapping[str, str], body: dict[str, Any]) -> list[dict[str, Any]]:
    headers = {"Content-Type": "application/json", **_build_login(environ)}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310  the user's URL
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310  likewise
        found = json.loads(answer.read(MOST_BYTES))
    if not isinstance(found, list):
        raise TypeError("no list came")
    return found


def _build_login(environ: Mapping[str, str]) -> dict[str, str]:
    """The login that the user's settings have for the server: a key of Prefect Cloud, or user and password."""
    if key := find_setting(environ, "PREFECT_API_KEY", ("api", "key")):
        return {"Authorization": f"Bearer {key}"}
    if login := find_setting(environ, "PREFECT_API_AUTH_STRING", ("api", "auth_string")):
        return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}
    return {}
