"""A process among those that create on one account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.backends.base import Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUse:
    """An account as the backends of one process use it."""

    allowance: Allowance
    count_places: Callable[[], int]
    """Predictions that may be in flight."""
    count_taken: Callable[[], int]
    """Places that jobs hold: in flight, or waiting for their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A process as the others on its account see it."""

    name: str
    weight: float
    """Its share beside others."""
    per_min: float
    """Its configuration's limit."""
    use: AccountUse
