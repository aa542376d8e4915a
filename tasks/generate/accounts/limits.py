"""The limits of a process's backends: places of each, and one rate for all backends of an account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.backends.base import Allowance
from tasks.backends.client.rate_limiter import CreateLimiter, RateLimiter
from tasks.core.configuration.sections import BackendSettings
from tasks.generate.accounts.heard_pauses import HearingRateLimiter
from tasks.generate.accounts.membership import AccountUse
from tasks.generate.accounts.pace import AccountRateLimiter
from tasks.generate.limits import BackendLimits


@dataclass(slots=True)
class AccountLimits:
    """Builds limits, and closes what they share."""

    build_limiter: Callable[[AccountUse], CreateLimiter]
    """Builds the limiter of an account; called once for each."""
    limiters: dict[str, CreateLimiter] = field(default_factory=dict)
    """By account."""
    _users: dict[str, list[BackendLimits]] = field(default_factory=dict)

    @property
    def rate_limiters(self) -> list[RateLimiter | AccountRateLimiter]:
        """The limiters of this process, one for each account."""
        return [rate for rate in self.limiters.values() if isinstance(rate, RateLimiter | AccountRateLimiter)]

    def build(self, instance: BackendSettings, allowance: Allowance, *, now: Callable[[], float]) -> BackendLimits:
        """Build the limits of a backend; `now` is monotonic seconds."""
        users = self._users.setdefault(allowance.account, [])
        # By account, not by instance: the provider counts all calls of a token together.
        if allowance.account not in self.limiters:
            use = AccountUse(
                allowance=allowance,
                count_places=lambda: sum(limits.concurrency for limits in users),
                count_taken=lambda: sum(limits.taken for limits in users),
            )
            self.limiters[allowance.account] = self.build_limiter(use)
        limits = BackendLimits(
            concurrency=instance.concurrency,
            creates=self.limiters[allowance.account],
            now=now,
            by_shape=instance.group_by_shape,
        )
        users.append(limits)
        return limits

    async def close(self) -> None:
        """Leave the accounts to other batches."""
        for limiter in self.rate_limiters:
            if isinstance(limiter, AccountRateLimiter | HearingRateLimiter):
                await limiter.close()
