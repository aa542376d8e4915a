"""Shares of an account's turns: by weight while several want some, all for one that is alone.

Every member counts the turns that it takes, divided by its weight. Whoever wants turns may be ahead of the others that want
some by the turns of a moment and no more, so a batch of a million jobs cannot keep one of ten from its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process that creates on an account."""

    name: str
    most_per_min: float
    weight: float
    used: float
    waiting: int
    """Jobs that wait for a turn."""
    in_flight: int
    """Predictions in flight, and turns in hand."""
    concurrency: int


def catch_up_used(me: Member, others: Sequence[Member]) -> float:
    """The count of a member that begins to want turns: time in which it wanted none is not made up for."""
    wanting = [other.used for other in others if other.waiting]
    return max(me.used, min(wanting)) if wanting else me.used


def count_allowed(me: Member, others: Sequence[Member], *, at_once: float) -> int:
    """Turns that a member may take now.

    Args:
        me: The member, its count caught up.
        others: The other living ones.
        at_once: Turns of a moment, by which one may be ahead.
    """
    # Its own limits hold in its process.
    if not others:
        return me.waiting
    allowed = me.waiting
    # The largest limit that anybody has set: a batch that takes less for itself does not mean the others.
    most = max(member.concurrency for member in (me, *others))
    # Where places are scarcer than turns, a moment's turns would be all places.
    at_once = min(at_once, most / (1 + len(others)))
    if wanting := [other.used for other in others if other.waiting]:
        ahead = min(wanting) + at_once - me.used
        # Whoever is behind gets a turn, however little it weighs.
        allowed = min(allowed, max(floor(ahead * me.weight), int(me.used <= min(wanting))))
    return max(0, min(allowed, most - sum(member.in_flight for member in (me, *others))))
