"""Batches of one machine that keep the same caps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tasks.core.caps.cap import CapSettings
from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.generate.jobs import generate_range
from tasks.ledger.accounts.caps import source
from tasks.usage.caps import list_caps
from tests.support.factories import START_US, FakeClock, make_job
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, open_scripted


@pytest.fixture
def caps(monkeypatch: pytest.MonkeyPatch) -> list[CapSettings]:
    """The caps of every batch; a test puts its own in."""
    kept: list[CapSettings] = []

    async def open_source(*_: Any) -> source.CapsSource:
        found = source.CapsSource((), None)
        # The list itself, so that a test can change it while a batch runs.
        found._caps = kept  # type: ignore[assignment]
        return found

    monkeypatch.setattr("tasks.generate.accounts.caps.open_source", open_source)
    return kept


@dataclass
class Machine:
    """Batches of one machine, run one after the other on one clock."""

    folder: Path
    caps: Sequence[CapSettings]
    clock: FakeClock = field(default_factory=FakeClock)
    set_by_s: float = 0.0
    """Seconds by which somebody has set the wall clock; no other clock moves with it."""

    async def run(self, name: str, backend: ScriptedBackend, jobs: int, **options: Any) -> str:
        """Run a batch to its end or stop; the reason of the stop, or nothing."""
        out = self.folder / name
        out.mkdir(exist_ok=True)
        planned = [make_job(number, id=f"{name}-{number}") for number in range(jobs)]
        async with open_scripted(out, backend, planned, clock=self._build_clock(), **options) as batch:
            await generate_range(batch, *EVERYTHING)
            return "" if batch.stop.cause is None else str(batch.stop.cause)

    async def read(self) -> list[dict[str, Any]]:
        """The caps as `imagen caps --json` has them."""
        settings = Settings().model_copy(update={"caps": list(self.caps)})
        listed: list[dict[str, Any]] = (await list_caps(settings, self._build_clock()))["caps"]
        return listed

    def _build_clock(self) -> Clock:
        return replace(self.clock.clock, now_us=lambda: START_US + round((self.clock.now_s + self.set_by_s) * 1e6))


@pytest.fixture
def machine(tmp_path: Path, caps: list[CapSettings]) -> Machine:
    """No batch yet, and no cap."""
    return Machine(tmp_path, caps)
