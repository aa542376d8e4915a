"""Answers of a service as they come: their JSON, their time, and the pause that they ask for."""

from __future__ import annotations

import json
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from tasks.backends.client.refusals import find_retry_delay
from tasks.core.retry import parse_retry_after


def parse_json(answer: httpx.Response) -> Any:
    """The answer's JSON.

    Raises:
        ValueError: It is none, or nested so deeply that it cannot be read.
    """
    return parse_json_bytes(answer.content)


def parse_json_bytes(body: bytes) -> Any:
    """The JSON of a body.

    Raises:
        ValueError: It is none, or nested so deeply that it cannot be read.
    """
    try:
        return json.loads(body)
    # json gives up at some 1,000 levels with RecursionError, which is no ValueError and would pass every handler.
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    except ValueError as exc:
        raise ValueError("it is not JSON") from exc


def parse_json_object(answer: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object; an empty one where it holds none."""
    try:
        body = parse_json(answer)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def read_retry_after(answer: httpx.Response) -> float | None:
    """Seconds to wait as the answer's header states them, else its body; None where neither does."""
    # RFC 9110 allows a date in place of seconds; the service's own `Date` is the clock to count it from.
    stated = parse_retry_after(answer.headers.get("retry-after"), now=get_date(answer))
    return find_retry_delay(parse_json_object(answer)) if stated is None else stated


def get_date(answer: httpx.Response) -> datetime | None:
    """The service's own time: a date in its header counts from that, whatever this machine's clock says."""
    try:
        date = parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # A `Date` without a zone cannot be compared with an aware clock.
    return date if date.tzinfo else None
