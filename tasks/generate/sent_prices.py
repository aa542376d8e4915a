"""Prices at sending: an attempt that an earlier run sent is charged at the prices of that run."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.backends import build_backend
from tasks.backends.base import Backend
from tasks.backends.prices import dump_list_prices, parse_list_prices
from tasks.core.configuration.sections import UnitPrices
from tasks.core.configuration.settings import Settings
from tasks.core.errors import InputError
from tasks.ledger.runs import RunRecord, list_runs, parse_settings

NO_LIST = "{}"
"""Of runs that older versions recorded: their built-in prices are not known, so today's count."""


@dataclass(slots=True)
class SentPrices:
    """Backends as earlier runs priced them; opened where a price has changed since."""

    engine: AsyncEngine
    settings: Settings
    is_alone: bool
    """No other process works on the batch, so an attempt of another process is one of an earlier run."""
    _runs: list[RunRecord] | None = None
    _backends: dict[tuple[str, int], Backend | None] = field(default_factory=dict)

    async def find_backend(self, name: str, started_us: int) -> Backend | None:
        """The backend `name` with the prices of the run that began an attempt; None where they are today's.

        Args:
            name: The backend instance.
            started_us: When the attempt began, in microseconds since 1970 UTC.
        """
        if self._runs is None:
            runs = await list_runs(self.engine)
            # The present run began after every inherited attempt, whatever the clock says.
            self._runs = runs[:-1] if self.is_alone else runs
        # The latest run that began before the attempt is the one that sent it.
        run = next((run for run in reversed(self._runs) if run.started_at_us <= started_us), None)
        if run is None:
            return None
        key = (name, run.number)
        if key not in self._backends:
            self._backends[key] = self._build(name, run)
        return self._backends[key]

    async def close(self) -> None:
        """Close what was opened."""
        for backend in self._backends.values():
            if backend is not None:
                await backend.close()

    def _build(self, name: str, run: RunRecord) -> Backend | None:
        try:
            before = parse_settings(run)
        except InputError:  # written by another version
            return None
        now, old = self.settings.backends[name], before.backends.get(name)
        # Built-in prices count as much as configured ones: an upgrade between two runs may bring newer ones.
        prices = _merge_prices(run.start.list_prices, before)
        # The usual case: today's backend does, and no second client is opened.
        if old is None or (old.price_usd, prices) == (now.price_usd, _merge_prices(dump_list_prices(), self.settings)):
            return None
        # Only the price is of that time; the token and the address are today's.
        priced = now.model_copy(update={"price_usd": old.price_usd})
        settings = self.settings.model_copy(
            update={"backends": {**self.settings.backends, name: priced}, "prices": prices}
        )
        return build_backend(name, settings)


def _merge_prices(list_prices: str, settings: Settings) -> dict[str, UnitPrices]:
    """All prices of a run by model: the configured ones in place of the built-in ones."""
    return parse_list_prices(list_prices if list_prices != NO_LIST else dump_list_prices()) | settings.prices
