"""Caps whose amount, day or clock changes while a batch runs, and caps that no day has room in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.core.caps.cap import CapSettings
from tasks.core.records import Job
from tests.support.factories import START_US
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.support.waiting import eventually_async
from tests.tasks.generate.accounts.conftest import Machine

PRICE_USD = PRICE_MICROS / 1e6


def move_on(backend: ScriptedBackend, after: int, change: Callable[[], object]) -> None:
    """Let something happen while this create (1, 2, ...) is on its way."""

    def hook(_: Job) -> None:
        if backend.calls["submit"] == after:
            change()

    backend.before_submit = hook


async def test_a_cap_lowered_below_what_is_spent_stops_a_running_batch(
    machine: Machine, caps: list[CapSettings]
) -> None:
    """What is in flight lands, nothing more is sent, and the stop says when the cap frees."""
    caps.append(CapSettings(usd=1, per="day"))
    backend = ScriptedBackend()
    lowered = CapSettings(usd=PRICE_USD, per="day")
    move_on(backend, 3, lambda: caps.__setitem__(0, lowered))
    stopped = await machine.run("a", backend, 8, concurrency=1)
    assert "$0.00 is left" in stopped
    assert "It frees at 2026-09-22 00:00 UTC" in stopped
    assert backend.billed.total() == 3
    [cap] = await machine.read()
    assert (cap["spent"], cap["free"]) == (0.009, 0)


class LateTurns(RateLimiter):
    """Gives two turns at once, and all others after a cap was lowered."""

    def __init__(self, lower: Callable[[], object], backend: ScriptedBackend) -> None:
        """Call `lower` once two creates have left."""
        super().__init__(None, now=lambda: 0.0, sleep=asyncio.sleep)
        self._lower = lower
        self._backend = backend
        self._given = 0

    async def acquire(self) -> float:
        """Wait until both have left."""
        self._given += 1
        if self._given > 2:
            await eventually_async(self._has_billed_two)
            self._lower()
        return 0.0

    async def _has_billed_two(self) -> bool:
        return self._backend.billed.total() >= 2


@pytest.mark.parametrize("unit", ["usd", "images"])
async def test_a_lowered_cap_holds_for_all_that_is_not_sent_yet(
    machine: Machine, caps: list[CapSettings], monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """All jobs have reserved when the cap is lowered: what has not left yet gives its money back, and the rest is used."""
    price = {"usd": PRICE_USD, "images": 1}[unit]
    caps.append(CapSettings.model_validate({unit: price * 8, "per": "day"}))
    lowered = CapSettings.model_validate({unit: price * 4, "per": "day"})
    backend = ScriptedBackend()
    turns = LateTurns(lambda: caps.__setitem__(0, lowered), backend)
    monkeypatch.setattr("tasks.generate.accounts.shared.build_account_limiter", lambda *_, **__: turns)
    assert "is reached" in await machine.run("a", backend, 8, concurrency=8)
    assert backend.billed.total() == 4
    [cap] = await machine.read()
    assert (cap["spent"], cap["reserved"], cap["free"]) == (pytest.approx(price * 4), 0, 0)


@pytest.mark.parametrize(
    ("moved_h", "made", "frees"),
    [(23.5, 3, "2026-10-26"), (25, 6, "2026-10-27"), (-1, 6, "2026-10-25")],
    ids=["the same day of 25 hours", "the day after", "the day before"],
)
async def test_a_clock_that_passes_midnight_meets_the_cap_of_its_day(
    machine: Machine, caps: list[CapSettings], moved_h: float, made: int, frees: str
) -> None:
    """Clocks change on that day in Berlin: it has 25 hours, and each day has its own amount, whichever way the clock went."""
    caps.append(CapSettings(images=3, per="day", timezone="Europe/Berlin"))
    half_past_midnight = datetime(2026, 10, 25, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    machine.set_by_s = half_past_midnight.timestamp() - START_US / 1e6
    backend = ScriptedBackend()

    def move_clock() -> None:
        machine.set_by_s += moved_h * 3_600

    move_on(backend, 3, move_clock)
    stopped = await machine.run("a", backend, 8, concurrency=1)
    assert f"It frees at {frees} 00:00 Europe/Berlin" in stopped
    assert backend.billed.total() == made


@pytest.mark.parametrize("cap", [{"usd": PRICE_USD / 2}, {"usd": 0}, {"images": 0}])
async def test_a_cap_below_one_image_is_not_waited_for(
    machine: Machine, caps: list[CapSettings], cap: dict[str, float]
) -> None:
    """No day will have room for one, so the stop says to raise it and not to come back tomorrow."""
    caps.append(CapSettings.model_validate({**cap, "per": "day"}))
    backend = ScriptedBackend()
    stopped = await machine.run("a", backend, 2)
    assert "The whole cap is less than one image needs: raise it" in stopped
    assert "It frees" not in stopped
    assert backend.billed.total() == 0
