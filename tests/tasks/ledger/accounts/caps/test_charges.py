"""Charges in the state folder and in PostgreSQL: one cap over processes that charge at the same time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tasks.core.caps.cap import CapSettings, Payer
from tasks.core.configuration.settings import Settings
from tasks.ledger.accounts.caps.charges import Charge, Charger, Settlement
from tasks.ledger.accounts.caps.counter import Counter
from tasks.ledger.accounts.caps.place import open_counting_place
from tasks.ledger.accounts.caps.reading import read_caps
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.writer import LedgerWriter
from tests.tasks.ledger.conftest import out, server  # noqa: F401  fixtures

MOST, COST, CAP = 4_000, 3_000, 61_000


@pytest.fixture
async def place(out: Path) -> AsyncIterator[LedgerWriter]:  # noqa: F811
    """The place of a batch whose ledger is in its folder, or on PostgreSQL."""
    async with open_ledger(out, create=True) as engine, open_counting_place(Settings(), engine) as opened:
        yield opened.writer


def count_for(writer: LedgerWriter, batch: str, caps: list[CapSettings]) -> Counter:
    """The counter of a process."""
    charger = Charger(batch=batch, owner=batch, caps=caps, now_us=lambda: time.time_ns() // 1_000)
    return Counter(writer, lambda: charger)


async def test_processes_together_never_pass_a_cap(place: LedgerWriter) -> None:
    """Three charge at once and a fourth takes what they left: less than one attempt stays, and no end counts twice."""
    # The tests share a PostgreSQL server, so the caller is this test's own.
    payer = Payer(caller=os.environ["PYTEST_CURRENT_TEST"].partition(" ")[0].replace("[", "-"), backend="b", model="m")
    caps = [CapSettings(usd=CAP / 1e6, per="month", caller=payer.caller.replace("]", "?"))]
    granted: list[str] = []

    async def run(batch: str) -> None:
        counter = count_for(place, batch, caps)

        async def run_job(number: int) -> None:
            charge = Charge(key=(f"job {number}", 1), payer=payer, micros=MOST)
            while (await counter.charge(charge)) is not None:
                if not counter.has_in_flight:
                    return
                await counter.wait_for_end(counter.ends)
            granted.append(batch)
            end = Settlement(key=charge.key, payer=payer, cost_micros=COST, images=1, most_micros=MOST)
            counter.note(end)
            counter.note(end)

        await asyncio.gather(*(run_job(number) for number in range(15)))
        await counter.drain()

    await asyncio.gather(*(run(batch) for batch in ("first", "second", "third")))
    # What was in flight elsewhere when one of them stopped is left for the next.
    await run("fourth")
    [state] = await read_caps(place, caps, now_us=time.time_ns() // 1_000)
    assert state.counted.micros == len(granted) * COST
    assert state.counted.images == len(granted)
    assert CAP - MOST < state.counted.micros <= CAP
    assert not state.reserved.micros
