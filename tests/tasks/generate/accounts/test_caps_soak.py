"""Caps over processes that are killed, with faults, several callers and a clock that is moved: kept to the cent."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.core.caps.cap import CapSettings
from tasks.core.clock import Clock
from tasks.core.configuration.settings import load_settings
from tasks.usage.caps import list_caps
from tests.support.billed_batch import DAY_US, MOST_MICROS, Part, get_bill_path, read_bill
from tests.support.scripted_batch import ledger
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.soak

CREATES = int(os.environ.get("IMAGEN_CAPS_CREATES", "800"))
"""Of all batches together."""
KILLS = int(os.environ.get("IMAGEN_CAPS_KILLS", "4"))
BATCHES = {"one": "studio", "two": "studio", "three": "night", "four": "night"}
"""Their callers."""
JOBS = CREATES // len(BATCHES)
DAY_MICROS, CALLER_MICROS, MONTH_MICROS = CREATES * 1_000, CREATES * 1_300, CREATES * 3_000
MOST_BETWEEN_KILLS = max(1, CREATES // (2 * len(BATCHES) * KILLS)) if KILLS else 0
"""Predictions of the batch that is killed: so many that all batches together are not done before the last kill."""
BYTES_OF_A_LINE = 200
COMMAND = "from tests.support.billed_batch import main; main()"


def find_noon() -> int:
    """By how much a clock is set to show noon (UTC) now."""
    now_us = time.time_ns() // 1_000
    return DAY_US // 2 - now_us % DAY_US


@dataclass
class Machine:
    """Processes of one machine, one for each batch, whose clocks are set together."""

    folder: Path
    dice: random.Random
    shift_us: int = field(default_factory=find_noon)
    """The day begins at noon: no machine is so slow that midnight comes while a day is counted."""
    kills_left: int = KILLS
    kills: int = 0

    def configure(self) -> None:
        """Write the caps."""
        caps = [
            {"usd": DAY_MICROS / 1e6, "per": "day"},
            {"usd": CALLER_MICROS / 1e6, "per": "month", "caller": "studio"},
            {"usd": MONTH_MICROS / 1e6, "per": "month"},
            {"images": CREATES, "per": "day"},
        ]
        (self.folder / "imagen.yaml").write_text(json.dumps({"caps": caps}))

    def run(self, day: int, *, kill: bool) -> dict[str, str | None]:
        """Run every batch once, at the same time; how each ended, None where it was killed."""
        started = {name: self._start(name, day) for name in BATCHES}
        if kill:
            enough = self.dice.randint(1, MOST_BETWEEN_KILLS)
            before = {name: self.measure_bill(name) for name in BATCHES}

            def find_victim() -> list[str]:
                running = [name for name, process in started.items() if process.poll() is None]
                return [name for name in running if self.measure_bill(name) >= before[name] + enough]

            # By what was paid for, not by time: a plan takes as long as the machine is slow.
            eventually(lambda: find_victim() or all(process.poll() is not None for process in started.values()))
            if victims := find_victim():
                started[victims[0]].kill()
                self.kills += 1
                self.kills_left -= 1
        return {name: self._finish(process) for name, process in started.items()}

    def measure_bill(self, name: str) -> int:
        """The number of predictions that were billed to a batch, about."""
        path = get_bill_path(self.folder, name)
        return path.stat().st_size // BYTES_OF_A_LINE if path.exists() else 0

    def _start(self, name: str, day: int) -> subprocess.Popen[str]:
        part = Part(
            folder=str(self.folder),
            name=name,
            caller=BATCHES[name],
            jobs=JOBS,
            day=day,
            shift_us=self.shift_us,
            seed=self.dice.randrange(2**31),
        )
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, part.dump()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def _finish(self, process: subprocess.Popen[str]) -> str | None:
        printed, errors = process.communicate(timeout=PATIENCE_S * 10)
        if process.returncode == -9:
            return None
        assert process.returncode == 0, errors
        ended: str = json.loads(printed)
        assert not ended or "cap of" in ended, ended
        return ended

    def read_now_us(self, day: int) -> int:
        """The time of its clocks on a day."""
        return time.time_ns() // 1_000 + self.shift_us + day * DAY_US

    def find_month(self, day: int) -> str:
        """The month of a day, as the caps have it."""
        return CapSettings(usd=0, per="month").scope.find_period(self.read_now_us(day)).start.isoformat()

    def read_caps(self, day: int) -> list[dict[str, Any]]:
        """The caps as `imagen caps` has them on a day."""
        clock = Clock(now_us=lambda: self.read_now_us(day))
        listed: list[dict[str, Any]] = asyncio.run(list_caps(load_settings(self.folder / "imagen.yaml"), clock))["caps"]
        return listed


def test_no_cap_is_passed_and_none_is_left_unused(tmp_path: Path) -> None:
    """The bill never passes a cap, a full day lacks less than one attempt, and caps, ledgers and bill are equal."""
    machine = Machine(tmp_path, random.Random(CREATES))
    machine.configure()
    day, full_days, ends = 0, set[int](), dict[str, str | None](dict.fromkeys(BATCHES, None))
    while any(ended != "" for ended in ends.values()):
        ends = machine.run(day, kill=machine.kills_left > 0)
        if None in ends.values():
            continue
        if any("a day" in (ended or "") for ended in ends.values()):
            full_days.add(day)
            # A clock that is set back meets days that are full, and nothing is free there.
            machine.run(max(0, day - 1), kill=False)
        day += 1 if any("a day" in (ended or "") for ended in ends.values()) else 31
    check_bill(machine, full_days)
    sys.stderr.write(f"{machine.kills} kills, {len(read_bill(tmp_path))} billed on {day + 1} days\n")
    assert machine.kills or not KILLS


def check_bill(machine: Machine, full_days: set[int]) -> None:
    """Hold the bill against every cap, against the counts, and against the ledgers."""
    bill = read_bill(machine.folder)
    by_day, by_month, by_caller = Counter[int](), Counter[str](), Counter[tuple[str, str]]()
    for line in bill:
        by_day[line.day] += line.cost_micros
        by_month[machine.find_month(line.day)] += line.cost_micros
        by_caller[line.caller, machine.find_month(line.day)] += line.cost_micros
    assert max(by_day.values()) <= DAY_MICROS
    assert max(by_month.values()) <= MONTH_MICROS
    assert max(by_caller["studio", month] for month in by_month) <= CALLER_MICROS
    # Two batches of different callers are open to the end of a day, so what is left does not do for one attempt.
    for day in full_days:
        month = machine.find_month(day)
        left = min(
            DAY_MICROS - by_day[day],
            MONTH_MICROS - by_month[month],
            CALLER_MICROS - by_caller["studio", month],
        )
        assert left < MOST_MICROS
    for day in by_day:
        of_day, of_caller, of_month, _ = machine.read_caps(day)
        assert of_day["reserved"] == 0
        assert round(of_day["spent"] * 1e6) == by_day[day]
        assert round(of_month["spent"] * 1e6) == by_month[machine.find_month(day)]
        assert round(of_caller["spent"] * 1e6) == by_caller["studio", machine.find_month(day)]
    costs = [row for name in BATCHES for row in ledger(machine.folder / name, "SELECT cost_micros FROM attempts")]
    assert sum(int(str(cost)) for (cost,) in costs) == sum(line.cost_micros for line in bill)
    made = [ledger(machine.folder / name, "SELECT count(*) FROM jobs WHERE state = 'succeeded'") for name in BATCHES]
    failed = [ledger(machine.folder / name, "SELECT count(*) FROM jobs WHERE state = 'held'") for name in BATCHES]
    assert sum(int(str(count)) for [(count,)] in made) > 0.9 * CREATES
    assert not sum(int(str(count)) for [(count,)] in failed)
