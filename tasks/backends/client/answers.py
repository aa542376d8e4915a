"""Answers of a service as they come: their JSON, their time, and the pause that they ask for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from tasks.backends.client.refusals import find_retry_delay
from tasks.core.retry import parse_retry_after

RESET_HEADERS = ("x-ratelimit-reset-requests", "x-ratelimit-reset-after", "x-ratelimit-reset", "ratelimit-reset")
"""Headers that say when a limit is full again (read 2026-11 of OpenAI, Together, Fireworks, OpenRouter, GitHub, the IETF's draft)."""
FIRST_INSTANT_S, FIRST_INSTANT_MS = 1e9, 1e12
"""A number this large is an instant since 1970, in seconds or milliseconds, and no pause."""

MOST_DIGITS = 1_000
"""Of a whole number; a longer one is read as a fraction, which is infinite."""


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
        try:
            return json.loads(body)
        except UnicodeDecodeError:
            # A service that writes Latin-1: only the letters of words differ, and the image is paid for.
            return json.loads(body.decode("latin-1"))
        except json.JSONDecodeError:
            raise
        except ValueError:
            # One number of thousands of digits, which Python reads for none of its callers: nobody can use it either.
            return json.loads(body, parse_int=_parse_digits)
    # json gives up at some 1,000 levels with RecursionError, which is no ValueError and would pass every handler.
    except RecursionError as exc:
        raise ValueError("it is nested too deeply") from exc
    except ValueError as exc:
        raise ValueError("it is not JSON") from exc


def _parse_digits(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


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
    if stated is None:
        # OpenAI's and Azure's SDKs read it too (openai 3.57.0).
        stated = parse_retry_after(f"{answer.headers.get('retry-after-ms', '')}ms")
    return find_retry_delay(parse_json_object(answer), now=get_date(answer)) if stated is None else stated


def read_pause(answer: httpx.Response) -> float | None:
    """Seconds after which a 429 may be tried again: as `read_retry_after`, else until the limit is full again.

    Only where the answer is a limit at all: services state when it is full again with an empty account too.
    """
    if (stated := read_retry_after(answer)) is not None:
        return stated
    now = get_date(answer) or datetime.now(UTC)
    resets = (_count_until_reset(answer.headers.get(name, ""), now) for name in RESET_HEADERS)
    return next((reset_s for reset_s in resets if reset_s is not None), None)


def _count_until_reset(text: str, now: datetime) -> float | None:
    """Seconds until a reset, however it is written: seconds, a duration, a date, or seconds or milliseconds since 1970."""
    try:
        instant_s = float(text)
    except ValueError:
        return parse_retry_after(text, now=now)
    if instant_s >= FIRST_INSTANT_MS:
        instant_s /= 1_000
    return parse_retry_after(instant_s - now.timestamp() if instant_s >= FIRST_INSTANT_S else instant_s)


def get_date(answer: httpx.Response) -> datetime | None:
    """The service's own time: a date in its header counts from that, whatever this machine's clock says."""
    try:
        date = parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # A `Date` without a zone cannot be compared with an aware clock.
    return date if date.tzinfo else None
