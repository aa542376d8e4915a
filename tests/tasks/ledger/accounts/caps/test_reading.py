"""What caps have reserved, as it is read while every paid call of the account waits."""

from __future__ import annotations

from pathlib import Path

from tasks.core.caps.cap import CapSettings
from tasks.ledger.accounts.caps.reading import read_caps
from tasks.ledger.accounts.place import build_sqlite_writer, prepare_tables
from tests.support.factories import START_US
from tests.support.query_plans import explaining


async def test_caps_are_read_without_what_is_settled(tmp_path: Path) -> None:
    """A week has millions of settled charges, and every paid call waits while they are read: the index skips them."""
    counts = build_sqlite_writer(tmp_path / "accounts.db")
    await counts.write(prepare_tables)
    with explaining(counts.engine) as asked:
        await read_caps(counts, [CapSettings(usd=1, per="day")], now_us=START_US)
    await counts.close()
    [plan] = [each for each in asked if "main.charges" in each.statement]
    assert "USING INDEX charges_state (state=? AND at_us>?)" in " ".join(plan.steps)
