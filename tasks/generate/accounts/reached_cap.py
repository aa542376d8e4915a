"""The stop of a batch that has reached a cap, in words that say how it goes on."""

from __future__ import annotations

from tasks.core.caps.periods import get_zone
from tasks.core.clock import to_instant
from tasks.core.errors import BatchStopped
from tasks.core.money import format_exact
from tasks.ledger.accounts.caps.charges import Refusal


def build_reached_stop(refusal: Refusal, wanted_micros: int) -> BatchStopped:
    """Build the stop for a cap that is reached: which one, what is left, and when it frees."""
    cap = refusal.cap
    frees = to_instant(refusal.frees_at_us).astimezone(get_zone(cap.timezone))
    if cap.images is not None:
        left = f"{refusal.left:,} images are left"
    else:
        left = f"{format_exact(refusal.left)} is left and the next image may cost {format_exact(wanted_micros)}"
    if refusal.never_frees:
        # Even a new day has no room for it, so waiting for one would be bad advice.
        remedy = "The whole cap is less than one image needs: raise it under `caps` in the configuration and resume"
    else:
        remedy = (
            f"It frees at {frees:%Y-%m-%d %H:%M} {cap.timezone}; resume then, or raise it under `caps` in the "
            "configuration and resume"
        )
    return BatchStopped(
        "cap", f"the cap of {cap.describe()} is reached: {left}. {remedy}", frees_at_us=refusal.frees_at_us
    )
