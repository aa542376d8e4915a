"""Creates of this process whose answer has not come: what was sent, and when it can have arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tasks.backends.client.service_clock import MOST_LEAD, RECENT, ServiceClock, find_lead
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A create of this process whose answer has not come."""

    sent: SentInput
    begun_s: float
    """Monotonic instant of its send: clocks may be set meanwhile, and a `Date` may jump by hours."""
    begun_us: int | None
    """The same by the service's clock; None where it has not told its time."""
    after: datetime | None
    """When a create that was answered before it left was made; by the clock with which the list is written."""
    ended_us: int | None = None
    """When it was given up, by the service's clock."""


class UnansweredCreates:
    """Notes of one backend, by job; each job has one create at a time."""

    def __init__(self, clock: ServiceClock, *, patience_s: float) -> None:
        """Note nothing yet; what arrives later than `patience_s` after its create was given up comes too late."""
        self._clock = clock
        self._patience = timedelta(seconds=patience_s)
        self._sent: dict[str, Unanswered] = {}
        self._last_made: datetime | None = None
        self._leads: deque[timedelta] = deque(maxlen=RECENT)
        """Leads of the service's `Date` over the time that it wrote on our predictions; below 0 where it is behind."""

    def get(self, job_id: str) -> Unanswered | None:
        """The job's create; None where another run sent it."""
        return self._sent.get(job_id)

    def end(self, job_id: str, created_at: datetime | None) -> None:
        """Note that the job's create was answered, with the time on its prediction."""
        begun_us = self._sent.pop(job_id).begun_us
        if created_at is not None:
            self._last_made = created_at
            if begun_us is not None:
                # Nothing is created before it was sent, so this is what the two clocks of the service are apart.
                self._leads.append(to_instant(begun_us) - created_at)

    @contextmanager
    def sending(self, job_id: str, sent: SentInput) -> Iterator[None]:
        """The create is under way in the block; `end` follows its answer."""
        clock = self._clock
        begun = Unanswered(sent=sent, begun_s=clock.monotonic_s(), begun_us=clock.now_us(), after=self._last_made)
        self._sent[job_id] = begun
        try:
            yield
        except Ambiguous:
            self._sent[job_id] = replace(begun, ended_us=clock.latest_us())
            raise

    def find_window(self, job_id: str, since: datetime, *, now_us: int, own_us: int) -> Window:
        """The time in which the job's create can have made a prediction, by the clock with which the list is written.

        Args:
            job_id: Of the job.
            since: When it was sent first, as the ledger has it.
            now_us: The service's time, else this machine's.
            own_us: This machine's time.

        Raises:
            Ambiguous: No list can tell: it was sent too long ago, or the clocks are too far apart.
        """
        lost = self._sent.get(job_id)
        if lost is None:
            check_retained(since, now_us)
            return Window(since - self._find_lead(now_us, own_us))
        # Its age by the one clock that nobody sets: it decides whether its input is still in the list.
        check_retained(to_instant(now_us) - timedelta(seconds=self._clock.monotonic_s() - lost.begun_s), now_us)
        try:
            begin = since - self._find_lead(now_us, own_us)
        except Ambiguous:
            if lost.after is None:
                raise
            begin = lost.after
        # A `Date` that jumped ahead since the last answer would begin the list after the create.
        begin = begin if lost.after is None else min(begin, lost.after)
        if lost.begun_us is None or lost.ended_us is None:
            return Window(begin)
        # A look-up waits as long for a prediction to show up: a create that arrives later is missed by every look-up.
        behind = max((-lead for lead in self._leads if -lead <= MOST_LEAD), default=timedelta(0))
        return Window(begin, to_instant(lost.ended_us) + max(timedelta(0), behind) + self._patience)

    def _find_lead(self, now_us: int, own_us: int) -> timedelta:
        """By how much the service's `Date` may be ahead of the time on its predictions."""
        # Before any create was answered nobody knows which of the two clocks is wrong.
        if not self._leads:
            return find_lead(now_us, own_us)
        believed = [lead for lead in self._leads if lead <= MOST_LEAD]
        if not believed:
            raise Ambiguous("the service's times differ from its clock by days, so no list can tell", cost_micros=None)
        return max(timedelta(0), *believed)
