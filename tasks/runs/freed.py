"""Batches that a cap stopped: the instant, or the room, that lets them go on."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.caps.cap import Payer
from tasks.core.clock import to_instant
from tasks.core.configuration.settings import Settings
from tasks.ledger.accounts.caps.place import open_counting_place
from tasks.ledger.accounts.caps.reading import CapState, read_caps
from tasks.ledger.accounts.caps.source import open_source
from tasks.ledger.open_jobs import Selection, find_open_backends
from tasks.ledger.queries import find_greatest_reservation
from tasks.ledger.runs import RunRecord, get_batch_identity, parse_settings


async def explain_waiting(engine: AsyncEngine, run: RunRecord, *, now_us: int) -> str | None:
    """The reason why a batch still waits; None where it may go on.

    A cap that was raised meanwhile lets it go on before the time.

    Args:
        engine: The batch's ledger.
        run: Its last run.
        now_us: Microseconds since 1970 UTC.
    """
    if run.frees_at_us is None or run.frees_at_us <= now_us:
        return None
    settings = parse_settings(run)
    async with open_counting_place(settings, engine) as place:
        source = await open_source(settings, await get_batch_identity(engine), place.state)
        states = await read_caps(place.writer, source.caps, now_us=now_us)
    needed_micros, payers = await find_greatest_reservation(engine), await _find_payers(engine, settings, run)
    if all(_has_room(state, payers, needed_micros) for state in states):
        return None
    return f"waits for its cap until {to_instant(run.frees_at_us):%Y-%m-%d %H:%M} UTC"


async def _find_payers(engine: AsyncEngine, settings: Settings, run: RunRecord) -> list[Payer]:
    """Everything that the rest of a batch may be charged to: backends of its open jobs, and judges."""
    names = [*await find_open_backends(engine, Selection()), *settings.scores]
    models = {name: backend.model for name, backend in settings.backends.items()}
    models |= {name: judge.model for name, judge in settings.scores.items()}
    return [Payer(run.start.caller, name, models.get(name, "")) for name in names]


def _has_room(state: CapState, payers: Sequence[Payer], needed_micros: int) -> bool:
    """True if a cap is for other attempts, or allows an attempt like the batch's dearest one."""
    if not any(state.cap.scope.covers(payer) for payer in payers):
        return True
    return state.left >= (needed_micros if state.cap.images is None else 1)
