"""Creates of this process whose answer has not come: what was sent, and when it can have arrived."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from tasks.backends.client.service_clock import MOST_APART, ServiceClock
from tasks.backends.replicate.likeness import SentInput
from tasks.backends.replicate.list_reading import Window
from tasks.core.clock import to_instant
from tasks.core.errors import Ambiguous

RETENTION_S = 3_600.0
"""Inputs and outputs of API predictions are deleted after an hour (Replicate docs, "Data retention", read 2026-11)."""
MOST_AHEAD_S = 10.0
"""By how much the service's clock may seem to go back between a send and its look-up."""
RETENTION_MARGIN_S = 60.0
"""Time for a look-up before what it looks for is deleted."""


def check_retained(since: datetime, now_us: int) -> None:
    """Pass while the service still has the input of what was sent at that time.

    Raises:
        Ambiguous: It has not, or the time has not come yet, so nobody can tell.
    """
    # A list from then on is empty, which would prove that nothing was made.
    if since.timestamp() > now_us / 1e6 + MOST_AHEAD_S:
        raise Ambiguous("by the clock it is sent in the future, so the provider's list cannot tell", cost_micros=None)
    # Without its input a listed prediction cannot be compared, so to look for it would find nothing for sure.
    if now_us / 1e6 - since.timestamp() > RETENTION_S - RETENTION_MARGIN_S:
        raise Ambiguous("it was sent more than an hour ago; the provider has forgotten its input", cost_micros=None)


class UnansweredCreates:
    """Notes of one backend, by job; each job has one create at a time."""

    def __init__(self, clock: ServiceClock, *, patience_s: float) -> None:
        """Note nothing yet; what arrives later than `patience_s` after its create was given up comes too late."""
        self._clock = clock
        self._patience = timedelta(seconds=patience_s)
        self._sent: dict[str, tuple[SentInput, Window | None]] = {}
        self._begun_us: dict[str, int | None] = {}
        self.ahead = timedelta(0)
        """The lead of the service's `Date` over the time that it wrote on our predictions."""

    def get(self, job_id: str) -> tuple[SentInput, Window | None] | None:
        """The job's create and its window, which is None without a service's clock; None where another run sent it."""
        return self._sent.get(job_id)

    def end(self, job_id: str, created_at: datetime | None) -> None:
        """Note that the job's create was answered, with the time on its prediction."""
        del self._sent[job_id]
        begun_us = self._begun_us.pop(job_id)
        if begun_us is not None and created_at is not None:
            # Nothing is created before it was sent, so this is what the two clocks of the service are apart.
            self.ahead = max(self.ahead, min(MOST_APART, to_instant(begun_us) - created_at))

    @contextmanager
    def sending(self, job_id: str, sent: SentInput) -> Iterator[None]:
        """The create is under way in the block; `end` follows its answer."""
        self._sent[job_id] = sent, None
        begun_us = self._begun_us[job_id] = self._clock.now_us()
        try:
            yield
        except Ambiguous:
            self._sent[job_id] = sent, self._build_window(begun_us)
            raise

    def _build_window(self, begun_us: int | None) -> Window | None:
        now_us = self._clock.now_us()
        if begun_us is None or now_us is None:
            return None
        # A look-up waits as long for a prediction to show up: a create that arrives later is missed by every look-up.
        return Window(to_instant(begun_us), to_instant(now_us) + self._patience)
