"""A check in the moment in which a paid call leaves: whoever answers for the money sets it, the transport makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CHECK: ContextVar[Callable[[], None] | None] = ContextVar("last_check", default=None)


@contextmanager
def checking_last(check: Callable[[], None]) -> Iterator[None]:
    """Calls of the block leave only where `check` raises nothing once their connection is open."""
    token = _CHECK.set(check)
    try:
        yield
    finally:
        _CHECK.reset(token)


def make_last_check() -> None:
    """Make the check of the block that the call is in, if there is one. Raises what the check raises."""
    if (check := _CHECK.get()) is not None:
        check()
