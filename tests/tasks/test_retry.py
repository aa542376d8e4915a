"""What is repeated, how often, after which waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tasks.errors import Ambiguous, BadImage, JobError, NotCreated, Refused, Rejected, Unfetched
from tasks.retry import (
    BROKEN_TRIES,
    FETCH_TRIES,
    LONGEST_WAIT_S,
    SUBMIT_TRIES,
    pause_before_attempt_s,
    retrying_fetch,
    retrying_submit,
)
from tests.making import FakeClock


def failing(error: JobError, calls: list[int]) -> Callable[[], Awaitable[None]]:
    """A call that fails each time and counts."""

    async def call() -> None:
        calls.append(1)
        raise error

    return call


@pytest.mark.parametrize("error", [Ambiguous("?"), Rejected("no"), Refused("no"), JobError("no")])
async def test_a_submit_is_repeated_only_on_proof(error: JobError) -> None:
    """Nothing but proof that nothing was created lets a paid call leave again."""
    clock = FakeClock()
    calls: list[int] = []
    with pytest.raises(type(error)):
        await retrying_submit(clock.sleep)(failing(error, calls))
    assert (len(calls), clock.slept_s) == (1, [])


async def test_a_refused_connection_is_tried_again_with_growing_waits() -> None:
    """The tries are bounded, the waits too, and the last error is the one that is raised."""
    clock = FakeClock()
    calls: list[int] = []
    with pytest.raises(NotCreated, match="refused"):
        await retrying_submit(clock.sleep)(failing(NotCreated("refused"), calls))
    assert len(calls) == SUBMIT_TRIES
    assert len(clock.slept_s) == SUBMIT_TRIES - 1
    assert all(0 <= wait <= LONGEST_WAIT_S for wait in clock.slept_s)


async def test_broken_bytes_are_fetched_again() -> None:
    """Fetching is free, so it is repeated, apart from the generation."""
    clock = FakeClock()
    calls: list[int] = []
    with pytest.raises(BadImage):
        await retrying_fetch(clock.sleep)(failing(BadImage("cut"), calls))
    assert len(calls) == BROKEN_TRIES


async def test_a_host_in_trouble_is_asked_with_patience() -> None:
    """The picture is paid for: a host that is away for half a minute does not lose it."""
    clock = FakeClock()
    calls: list[int] = []
    with pytest.raises(Unfetched):
        await retrying_fetch(clock.sleep)(failing(Unfetched("away"), calls))
    assert len(calls) == FETCH_TRIES
    assert max(clock.slept_s) <= LONGEST_WAIT_S


def test_the_pause_between_attempts_doubles_and_is_bounded() -> None:
    """Also at absurd numbers."""
    assert [pause_before_attempt_s(number) for number in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert pause_before_attempt_s(10**9) == LONGEST_WAIT_S
