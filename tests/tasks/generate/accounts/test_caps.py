"""Caps over all batches: counted before each submit, settled at the true cost, kept by every batch of a machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tasks.core.caps.cap import CapSettings
from tasks.core.errors import BatchStopped, Transient
from tasks.core.paths import get_state_folder
from tasks.ledger.accounts.place import FILE_NAME
from tasks.ledger.lock import lock_folder
from tests.support.factories import START_US, make_job
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.support.scripted_batch import ledger
from tests.tasks.generate.accounts.conftest import Machine

PRICE_USD = PRICE_MICROS / 1e6
DAY_S = 86_400


async def test_two_batches_keep_one_cap(machine: Machine, caps: list[CapSettings]) -> None:
    """What one batch has spent is not left for the next one; the stop names the cap and when it frees."""
    caps.append(CapSettings(usd=PRICE_USD * 10, per="day", timezone="Europe/Berlin"))
    first, second = ScriptedBackend(), ScriptedBackend()
    assert await machine.run("a", first, 6) == ""
    stopped = await machine.run("b", second, 6)
    assert "the cap of $0.03 a day (Europe/Berlin) is reached" in stopped
    assert "It frees at 2026-09-22 00:00 Europe/Berlin" in stopped
    assert first.billed.total() + second.billed.total() == 10
    [cap] = await machine.read()
    assert (cap["spent"], cap["reserved"], cap["free"]) == (0.03, 0.0, 0.0)


async def test_of_two_full_caps_the_one_that_frees_last_is_named(machine: Machine, caps: list[CapSettings]) -> None:
    """Where a day and a month are both full it is the month that a resume has to wait for."""
    caps.append(CapSettings(usd=PRICE_USD * 2, per="day"))
    caps.append(CapSettings(images=2, per="month"))
    assert "the cap of 2 images a month (UTC) is reached" in await machine.run("a", ScriptedBackend(), 4)
    caps.insert(0, CapSettings(usd=0, per="day", backend="sketch"))
    assert "The whole cap is less than one image needs" in await machine.run("a", ScriptedBackend(), 4)


async def test_a_cap_that_this_version_does_not_know_is_kept(machine: Machine, caps: list[CapSettings]) -> None:
    """What is spent beside a cap in a time zone of another machine is added up there when it is asked for."""
    caps.append(CapSettings(images=3, per="day"))
    assert await machine.run("a", ScriptedBackend(), 1) == ""
    with pytest.MonkeyPatch.context() as patch:
        caps.clear()
        patch.setattr("tasks.ledger.accounts.caps.book._is_known", lambda _: False)
        assert await machine.run("b", ScriptedBackend(), 1) == ""
    caps.append(CapSettings(images=3, per="day"))
    [cap] = await machine.read()
    assert (cap["spent"], cap["free"]) == (2, 1)


async def test_a_cap_frees_with_its_day(machine: Machine, caps: list[CapSettings]) -> None:
    """The batch goes on when the day is over, and a clock that goes back finds the day as full as it was."""
    caps.append(CapSettings(usd=PRICE_USD * 3, per="day"))
    backend = ScriptedBackend()
    assert await machine.run("a", backend, 8)
    machine.clock.now_s += DAY_S
    assert await machine.run("a", backend, 8)
    assert backend.billed.total() == 6
    machine.clock.now_s -= DAY_S
    assert await machine.run("a", backend, 8)
    assert backend.billed.total() == 6


async def test_money_comes_back_while_jobs_are_in_flight(machine: Machine, caps: list[CapSettings]) -> None:
    """Attempts reserve their most and cost less: the whole cap is used all the same."""
    caps.append(CapSettings(usd=PRICE_USD * 10, per="month"))
    backend = ScriptedBackend(most_micros=PRICE_MICROS * 4)
    assert await machine.run("a", backend, 20)
    # The next one may cost four times the price, and only three are left.
    assert backend.billed.total() == 7
    [cap] = await machine.read()
    assert cap["free"] == pytest.approx(PRICE_USD * 3)


async def test_billed_failures_count(machine: Machine, caps: list[CapSettings]) -> None:
    """An attempt without an image counts at its cost, and at its most where nobody knows what it cost."""
    caps.append(CapSettings(usd=1, per="day"))
    caps.append(CapSettings(images=100, per="day"))
    backend = ScriptedBackend()
    backend.on_wait["a-0"].extend([Transient("billed", cost_micros=2_000)])
    backend.on_wait["a-1"].extend([Transient("who knows", cost_micros=None)])
    await machine.run("a", backend, 3)
    dollars, images = await machine.read()
    assert dollars["spent"] + dollars["reserved"] == pytest.approx(0.002 + PRICE_USD + PRICE_USD)
    assert dollars["reserved"] == pytest.approx(PRICE_USD)
    assert (images["spent"], images["reserved"]) == (1, 1)


async def test_what_was_spent_before_a_cap_counts(machine: Machine, caps: list[CapSettings]) -> None:
    """Runs without a cap are counted too, so a cap that is new at noon knows the morning."""
    assert await machine.run("a", ScriptedBackend(), 5) == ""
    caps.append(CapSettings(images=8, per="day", backend="sketch"))
    backend = ScriptedBackend()
    assert await machine.run("b", backend, 5)
    assert backend.billed.total() == 3


async def test_caps_have_filters(machine: Machine, caps: list[CapSettings]) -> None:
    """Another caller's cap and another backend's are not this batch's."""
    caps.append(CapSettings(usd=0, per="day", caller="studio"))
    caps.append(CapSettings(images=0, per="day", backend="flux*"))
    assert await machine.run("a", ScriptedBackend(), 2) == ""


async def test_an_unknown_price_meets_no_cap_on_dollars(machine: Machine, caps: list[CapSettings]) -> None:
    """Nothing is sent whose price nobody knows."""
    caps.append(CapSettings(usd=5, per="day"))
    backend = ScriptedBackend(price_micros=None)
    assert "set price_usd" in await machine.run("a", backend, 2)
    assert backend.billed.total() == 0


def leave_charges(machine: Machine, name: str, jobs: Sequence[int]) -> None:
    """Leave charges of attempts that are in flight, as a run does that is killed before it wrote their intents."""
    batch = str(ledger(machine.folder / name, "SELECT batch FROM batch_identity")[0][0])
    with closing(sqlite3.connect(get_state_folder() / FILE_NAME)) as db, db:
        rows = [
            (batch, make_job(number).job_id, 1, "dead", "open", "", "sketch", "", PRICE_MICROS, 1, START_US)
            for number in jobs
        ]
        db.executemany(f"INSERT INTO charges VALUES ({', '.join('?' * len(rows[0]))})", rows)
        for table in ("cap_totals", "spending"):
            more = (len(rows) * PRICE_MICROS, len(rows))
            db.execute(f"UPDATE {table} SET micros = micros + ?, images = images + ?", more)


async def test_what_a_killed_run_never_sent_comes_back(machine: Machine, caps: list[CapSettings]) -> None:
    """Another batch that meets a full cap asks the dead one's ledger: what is not in it never left."""
    caps.append(CapSettings(usd=PRICE_USD * 10, per="day"))
    await machine.run("a", ScriptedBackend(), 2)
    leave_charges(machine, "a", range(2, 10))
    backend = ScriptedBackend()
    assert await machine.run("b", backend, 20)
    assert backend.billed.total() == 8
    [cap] = await machine.read()
    assert (cap["spent"], cap["reserved"]) == (pytest.approx(PRICE_USD * 10), 0)


async def test_nothing_comes_back_while_its_run_may_live(machine: Machine, caps: list[CapSettings]) -> None:
    """A batch whose folder is locked keeps what it has reserved, and so does one whose ledger is gone."""
    caps.append(CapSettings(usd=PRICE_USD * 10, per="day"))
    await machine.run("a", ScriptedBackend(), 2)
    leave_charges(machine, "a", range(2, 10))
    backend = ScriptedBackend()
    with lock_folder(machine.folder / "a"):
        assert await machine.run("b", backend, 20)
    (machine.folder / "a").rename(machine.folder / "moved")
    assert await machine.run("b", backend, 20)
    assert backend.billed.total() == 0
    [cap] = await machine.read()
    assert cap["reserved"] == pytest.approx(PRICE_USD * 8)


async def test_an_attempt_in_flight_counts_once_over_runs(machine: Machine, caps: list[CapSettings]) -> None:
    """A run that stops leaves it at its most; the run that collects its image settles it at what it cost."""
    caps.append(CapSettings(usd=PRICE_USD * 10, per="day"))
    backend = ScriptedBackend(most_micros=PRICE_MICROS * 2)
    backend.on_wait["a-0"].append(BatchStopped("ledger", "the ledger is away"))
    assert await machine.run("a", backend, 1)
    [cap] = await machine.read()
    assert cap["reserved"] == pytest.approx(PRICE_USD * 2)
    assert await machine.run("a", backend, 1) == ""
    [cap] = await machine.read()
    assert (cap["spent"], cap["reserved"]) == (PRICE_USD, 0)
    assert backend.billed.total() == 1


@pytest.mark.parametrize("has_cap", [False, True])
async def test_counts_that_cannot_be_written_stop_only_runs_with_caps(
    machine: Machine, caps: list[CapSettings], monkeypatch: pytest.MonkeyPatch, *, has_cap: bool
) -> None:
    """On a full disk a run without caps goes on, and one with caps sends nothing that is not counted."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    for module in ("counter.write_entries", "endings.write_entries", "recovery.find_unsettled", "source._remember"):
        monkeypatch.setattr(f"tasks.ledger.accounts.caps.{module}", refuse)
    caps.extend([CapSettings(images=8, per="day")] * has_cap)
    backend = ScriptedBackend()
    if has_cap:
        with pytest.raises(BatchStopped, match="disk is full"):
            await machine.run("a", backend, 2)
    else:
        assert await machine.run("a", backend, 2) == ""
    assert backend.billed.total() == (0 if has_cap else 2)
