"""Retries of calls that cost nothing to repeat: tenacity around a single call, and the bounds that others share.

A fetch is repeated with patience while the image's host is in trouble, for the image is paid for, and a few times when
the bytes come broken. Paid calls are repeated by `tasks.generate.job` alone, as `tasks.generate.decisions` says.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_random,
    wait_random_exponential,
)

from tasks.core.errors import BadImage, JobError, Unfetched, UsageAway

T = TypeVar("T")

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
SUBMIT_TRIES = 5
BROKEN_TRIES = 4
"""Of an image whose bytes come, but broken: more of them rarely help."""
FETCH_TRIES = 10
"""Of an image whose host is in trouble: the waits add up to a minute on average."""
LOOK_TRIES = 6
USAGE_PATIENCE_S = 60.0
"""Waits for the usage sink, all in all: rows that stay pending cost nothing, and a run wants to end."""
USAGE_LONGEST_WAIT_S = 15.0
LEDGER_PATIENCE_S = 60.0
"""For a ledger's server that is away: it restarts within that, or somebody has to look."""
LEDGER_LONGEST_WAIT_S = 3.0
LONGEST_RETRY_AFTER_S = 24 * 3_600.0
"""A service that asks for more is taken to ask for this: its word is outside data, and a run must not sleep for years."""
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
"""Seconds of the units that services write durations in."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def parse_retry_after(value: str | float | None, *, now: datetime | None = None) -> float | None:
    """Seconds to wait, from a Retry-After header or from a body's field of that meaning.

    Args:
        value: A number of seconds, an HTTP date (RFC 9110, section 10.2.3), or, as some services write it, a duration
            (`1m30s`) or an ISO date.
        now: The service's clock where known (its `Date` header); None: this machine's.

    Returns:
        0 to `LONGEST_RETRY_AFTER_S`; None where it says nothing that can be understood.
    """
    # `float(True)` would be one second.
    if value is None or isinstance(value, bool):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        duration_s = parse_duration(str(value))
        seconds = _count_seconds_until(str(value), now or datetime.now(UTC)) if duration_s is None else duration_s
    # A date in the past means now; NaN and infinity mean nothing.
    return min(LONGEST_RETRY_AFTER_S, max(0.0, seconds)) if isfinite(seconds) else None


def parse_duration(text: str) -> float | None:
    """Seconds of a duration with units: `1s`, `6m0s`, `250ms`; None for anything else."""
    parts = _DURATION.findall(text.lower())
    # The parts must make up the whole text: "1x30s" is no duration of 30 seconds.
    if not parts or "".join(number + unit for number, unit in parts) != "".join(text.lower().split()):
        return None
    return sum(float(number) * UNIT_S[unit] for number, unit in parts)


def get_attempt_pause_s(attempts_made: int) -> float:
    """Seconds to wait before another paid attempt: doubling, bounded."""
    # The exponent is bounded too: 2.0 ** 1024 overflows.
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempts_made, 10)))


async def retry_fetch(sleep: Callable[[float], Awaitable[None]], fetch: Callable[[], Awaitable[T]]) -> T:
    """The result of a fetch, which is repeated on `BadImage` and, longer, on `Unfetched`; the last one is raised."""
    try:
        return await fetch()
    except (BadImage, Unfetched) as exc:
        first: list[JobError] = [exc]

    async def fetch_again() -> T:
        # The fetch that has failed counts as the first. Most succeed at once, and need no machinery.
        if first:
            raise first.pop()
        return await fetch()

    return await _build_retrying((BadImage, Unfetched), _has_fetched_enough, sleep)(fetch_again)


def retry_look(
    on: type[Exception] | tuple[type[Exception], ...], sleep: Callable[[float], Awaitable[None]]
) -> AsyncRetrying:
    """Repeats a question to the provider, which is free, on the errors that say nothing; the last one is raised."""
    return _build_retrying(on, stop_after_attempt(LOOK_TRIES), sleep)


def retry_usage(sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Repeats a call to the usage sink on `UsageAway` only; the last one is raised.

    Its waits grow, are never shorter than the sink asks for, and end for all calls together after
    `USAGE_PATIENCE_S`; a single call that hangs is given up after twice that.
    """
    growing = wait_exponential(multiplier=FIRST_WAIT_S, max=USAGE_LONGEST_WAIT_S) + wait_random(0, FIRST_WAIT_S)
    hangs = stop_after_delay(2 * USAGE_PATIENCE_S)
    waited_s = 0.0

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, UsageAway) else None
        # A shorter wait than the sink asks for only earns another refusal.
        return max(growing(state), asked_s or 0.0)

    def is_enough(state: RetryCallState) -> bool:
        # Waits only: a slow upload that makes progress is not given up.
        return waited_s + state.upcoming_sleep > USAGE_PATIENCE_S or hangs(state)

    async def sleep_and_count(seconds: float) -> None:
        nonlocal waited_s
        waited_s += seconds
        await sleep(seconds)

    return AsyncRetrying(
        retry=retry_if_exception_type(UsageAway),
        stop=is_enough,
        wait=wait,
        sleep=sleep_and_count,
        reraise=True,
    )


def retry_database(
    is_away: Callable[[BaseException], bool], away_s: Callable[[], float] | None = None
) -> AsyncRetrying:
    """Repeats what is harmless to repeat while the ledger's server is away, for about a minute.

    With `away_s`, how long it has been away, the minute is the same one for all who ask. Without, what is first found
    broken after the minute (this machine slept, or had no time) is tried once more: that tells whether the server is there.
    """
    patience_s = LEDGER_PATIENCE_S
    tried_twice_and_long = stop_after_delay(patience_s) & stop_after_attempt(2)
    return AsyncRetrying(
        retry=retry_if_exception(is_away),
        stop=tried_twice_and_long if away_s is None else lambda _: away_s() > patience_s,
        wait=wait_exponential(multiplier=FIRST_WAIT_S / 2, max=LEDGER_LONGEST_WAIT_S)
        + wait_random(0, FIRST_WAIT_S / 2),
        reraise=True,
    )


def _has_fetched_enough(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    return state.attempt_number >= (BROKEN_TRIES if isinstance(error, BadImage) else FETCH_TRIES)


def _build_retrying(
    on: type[Exception] | tuple[type[Exception], ...],
    stop: Callable[[RetryCallState], bool],
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(on),
        stop=stop,
        # Random, so that a thousand fetches that broke together do not come back together.
        wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        sleep=sleep,
        reraise=True,
    )


def _count_seconds_until(date: str, now: datetime) -> float:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            then = parse(date.strip())
            # RFC 9110: HTTP dates are in UTC, whatever a server writes.
            return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now.timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return float("nan")
