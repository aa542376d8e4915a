"""`imagen caps` as people see it."""

from __future__ import annotations

from tasks.core.caps.cap import CapSettings
from tasks.ledger.accounts.caps.book import Amount
from tasks.ledger.accounts.caps.reading import CapState
from tasks.usage.caps import format_caps
from tests.support.factories import START_US


def test_caps_fit_into_the_terminal() -> None:
    """A table where there is room for it; else two lines for each cap, with the same amounts."""
    cap = CapSettings(usd=300, per="month", caller="a studio with a long name", timezone="America/Argentina/Catamarca")
    state = CapState(
        cap=cap, period=cap.scope.find_period(START_US), counted=Amount(12_000, 4), reserved=Amount(4_000, 1)
    )
    record = {"caps": [state.as_dict()], "problem": None}
    head, line = format_caps(record, width=140)
    assert head.split() == ["cap", "for", "spent", "reserved", "free", "frees", "at"]
    narrow = format_caps(record, width=80)
    assert narrow == [
        "$300.00 a month for caller a studio with a long name",
        "    $0.008 spent, $0.004 reserved, $299.988 free, frees at 2026-10-01 00:00 America/Argentina/Catamarca",
    ]
    assert all(amount in line for amount in ("$0.008", "$0.004", "$299.988", "2026-10-01 00:00"))
