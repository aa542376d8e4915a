"""Earlier attempts of unknown cost under a cap: each counts as the most that it can have cost."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.backends import build_backend
from tasks.backends.base import Backend
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError
from tasks.ledger.unpriced import UnpricedAttempt, read_unpriced_pages, write_reservations
from tasks.plan.fallback import move_to_backend


async def bound_unknown_costs(engine: AsyncEngine, settings: Settings) -> None:
    """Reserve for every attempt of unknown cost the most that it can have cost, so that the cap counts it.

    Raises:
        ConfigError: No price is known for one of them, so the cap cannot be kept. Nothing was sent.
    """
    backends: dict[str, Backend] = {}
    # Opened only where it is needed: a batch without unknown costs opens no backend.
    async with AsyncExitStack() as opened:
        async for page in read_unpriced_pages(engine):
            for name in {attempt.backend for attempt in page} - backends.keys():
                backends[name] = build_backend(name, settings)
                opened.push_async_callback(backends[name].close)
            most = {
                (attempt.job.job_id, attempt.number): _get_most_micros(attempt, backends, settings) for attempt in page
            }
            await write_reservations(engine, most)


def _get_most_micros(attempt: UnpricedAttempt, backends: Mapping[str, Backend], settings: Settings) -> int:
    name, job = attempt.backend, attempt.job
    most_micros = (
        backends[name].estimate(job if job.backend == name else move_to_backend(job, name, settings)).most_micros
    )
    # A cap that counts a part of the bill is no cap.
    if most_micros is None:
        raise ConfigError(
            f"attempts of backend {name!r} have an unknown cost, so --budget cannot count them: "
            f"set backends.{name}.price_usd to the most that one image can have cost"
        )
    return most_micros
