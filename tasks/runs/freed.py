"""Batches that a cap stopped: the instant, or the room, that lets them go on."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import to_instant
from tasks.ledger.accounts.caps.place import open_counting_place
from tasks.ledger.accounts.caps.reading import CapState, read_caps
from tasks.ledger.accounts.caps.source import open_source
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
    needed_micros = await find_greatest_reservation(engine)
    if all(_has_room(state, run.start.caller, needed_micros) for state in states):
        return None
    return f"waits for its cap until {to_instant(run.frees_at_us):%Y-%m-%d %H:%M} UTC"


def _has_room(state: CapState, caller: str, needed_micros: int) -> bool:
    """True if a cap is another caller's, or allows an attempt like the batch's dearest one."""
    if not state.cap.scope.covers_caller(caller):
        return True
    return state.left >= (needed_micros if state.cap.images is None else 1)
