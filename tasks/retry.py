"""The one retry policy of calls that cost nothing to repeat: tenacity around a single call.

A submit is repeated only on proof that nothing was created, a fetch as long as the bytes come broken. A
paid attempt is never repeated here: that is a new attempt, which `tasks.generate` decides and the budget covers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tasks.errors import BadImage, NotCreated

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
SUBMIT_TRIES = 5
FETCH_TRIES = 4
LOOK_TRIES = 6


def pause_before_attempt_s(attempts_made: int) -> float:
    """Seconds to wait before another paid attempt: doubling, bounded."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempts_made, 10)))


def retrying_submit(sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Repeats on `NotCreated` only; the last one is raised."""
    return _retrying(NotCreated, SUBMIT_TRIES, sleep)


def retrying_fetch(sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Repeats on `BadImage` only; the last one is raised."""
    return _retrying(BadImage, FETCH_TRIES, sleep)


def retrying_look(on: type[Exception], sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    """Repeats a question to the provider, which is free, on the errors that say nothing; the last one is raised."""
    return _retrying(on, LOOK_TRIES, sleep)


def _retrying(on: type[Exception], tries: int, sleep: Callable[[float], Awaitable[None]]) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(on),
        stop=stop_after_attempt(tries),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        sleep=sleep,
        reraise=True,
    )
