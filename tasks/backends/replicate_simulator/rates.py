"""The account's rate limits: how many calls are let through, and what a call too many is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tasks.backends.replicate_simulator.api.problems import Problem
from tasks.backends.replicate_simulator.settings import Settings, WaitStated

LOW_CREDIT_PER_MIN = 6.0
LOW_CREDIT_BURST = 1
LOW_CREDIT_WORDS = (
    "Your rate limit for creating predictions is reduced to 6 requests per minute with a burst of 1 requests "
    "while you have less than $5.0 in credit. "
)
"""Captured answers, 2025-2026."""


@dataclass(slots=True)
class Bucket:
    """Tokens that come back at a steady rate; a call takes one."""

    per_min: float
    burst: int
    now_s: Callable[[], float]
    _tokens: float = -1.0
    _filled_at_s: float = 0.0

    def take(self) -> float | None:
        """None when the call may pass, else the seconds until the next one may."""
        tokens = self._refill()
        if tokens < 1:
            # Seconds until a whole token is there.
            return (1 - tokens) * 60 / self.per_min
        self._tokens -= 1
        return None

    @property
    def headers(self) -> dict[str, str]:
        """Return the rate headers of an answer; the names are as captured."""
        tokens = self._refill()
        reset_s = max(1, math.ceil((1 - tokens) * 60 / self.per_min))
        return {"ratelimit-remaining": str(int(tokens)), "ratelimit-reset": str(reset_s)}

    def _refill(self) -> float:
        now_s = self.now_s()
        if self._tokens < 0:
            # Filled at the first call, because the clock may not have started before.
            self._tokens = self.burst
        self._tokens = min(self.burst, self._tokens + (now_s - self._filled_at_s) * self.per_min / 60)
        self._filled_at_s = now_s
        return self._tokens


class Rates:
    """The buckets of one account."""

    def __init__(self, settings: Settings, now_s: Callable[[], float]) -> None:
        """Start with full buckets."""
        self._wait_stated = settings.wait_stated
        self.creates = Bucket(settings.creates_per_min, settings.create_burst, now_s)
        self.reads = Bucket(settings.reads_per_min, settings.read_burst, now_s)
        self.low_credit = Bucket(LOW_CREDIT_PER_MIN, LOW_CREDIT_BURST, now_s)

    def pass_create(self, *, low_credit: bool) -> dict[str, str]:
        """Let a create through; the answer's headers.

        Raises:
            Problem: 429, nothing is created.
        """
        # Low credit has a bucket of its own, as the real limit replaces the usual one.
        bucket, words = (self.low_credit, LOW_CREDIT_WORDS) if low_credit else (self.creates, "")
        return self._pass(bucket, words)

    def pass_read(self) -> dict[str, str]:
        """Let any other call through; the answer's headers.

        Raises:
            Problem: 429.
        """
        return self._pass(self.reads, "")

    def throttled(self) -> Problem:
        """A 429 that no bucket asked for."""
        return build_throttled(1.0, "", self._wait_stated)

    def _pass(self, bucket: Bucket, words: str) -> dict[str, str]:
        wait_s = bucket.take()
        if wait_s is not None:
            raise build_throttled(wait_s, words, self._wait_stated)
        return bucket.headers


def build_throttled(wait_s: float, words: str, stated: WaitStated) -> Problem:
    """The 429 of a call that should come again after so many seconds."""
    # Whole seconds and never zero, as in captured answers.
    seconds = max(1, math.ceil(wait_s))
    return Problem(
        429,
        f"Request was throttled. {words}Your rate limit resets in ~{seconds}s.",
        extra={} if stated == "words" else {"retry_after": seconds},
        headers={"Retry-After": str(seconds)} if stated == "header" else {},
    )
