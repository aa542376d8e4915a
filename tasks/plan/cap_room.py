"""The room that each cap has left, beside the part of it that a plan would take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.core.caps.cap import Payer
from tasks.core.configuration.settings import Settings
from tasks.core.money import format_exact, to_micros, to_usd
from tasks.core.text import format_count

if TYPE_CHECKING:
    from tasks.ledger.accounts.caps.reading import CapState


@dataclass(slots=True)
class Share:
    """Jobs of one backend and model."""

    jobs: int = 0
    micros: int = 0
    """Sum of their known prices, in millionths of a dollar."""
    unpriced: int = 0
    """Those without a known price."""
    least_micros: int | None = None
    """The lowest known price; it stays where its job is taken away."""

    def add(self, cost_micros: int | None, *, times: int = 1) -> None:
        """Count a job; with `times` -1 take it away."""
        self.jobs += times
        self.micros += times * (cost_micros or 0)
        self.unpriced += times * (cost_micros is None)
        if cost_micros is not None:
            self.least_micros = min(cost_micros, self.least_micros if self.least_micros is not None else cost_micros)


Shares = Mapping[tuple[str, str], Share]
"""By backend and model."""


async def find_room(
    settings: Settings, shares: Shares, judging: Shares, caller: str, *, now_us: int
) -> list[dict[str, Any]]:
    """The caps as `imagen plan --json` has them: those of `imagen caps`, with what the plan takes of each.

    Args:
        settings: The configuration.
        shares: The jobs to do.
        judging: The calls of judges about their images, by judge and model.
        caller: On whose behalf.
        now_us: Microseconds since 1970 UTC.

    Raises:
        ConfigError: The database that counts them cannot be used.
    """
    if not settings.caps:
        return []
    # A plan without caps loads no database.
    from tasks.ledger.accounts.caps.place import open_counting_place  # noqa: PLC0415
    from tasks.ledger.accounts.caps.reading import read_caps  # noqa: PLC0415

    async with open_counting_place(settings, None) as place:
        states = await read_caps(place.writer, settings.caps, now_us=now_us)
    return [_build_record(state, shares, judging, caller) | {"problem": place.problem} for state in states]


def _build_record(state: CapState, shares: Shares, judging: Shares, caller: str) -> dict[str, Any]:
    cap, taken = state.cap, Share()
    least: list[int] = []
    for (backend, model), share in shares.items():
        if cap.scope.covers(Payer(caller, backend, model)):
            taken.jobs += share.jobs
            taken.micros += share.micros
            taken.unpriced += share.unpriced
            least += [share.least_micros or 0] if share.jobs else []
    # A judge makes no image, and is paid beside them: a cap may name it in place of a backend.
    for (judge, model), share in judging.items():
        taken.micros += share.micros if cap.scope.covers(Payer(caller, judge, model)) else 0
    wanted = taken.micros if cap.images is None else taken.jobs
    return {
        **state.as_dict(),
        "takes": to_usd(wanted) if cap.images is None else wanted,
        "takes_unpriced": taken.unpriced if cap.images is None else 0,
        # What one image takes at the least, before any judge is asked: with less than that free, nothing can be sent.
        "takes_at_least": to_usd(min(least, default=0)) if cap.images is None else min(1, taken.jobs),
        "enough": wanted <= state.left,
        "words": cap.describe(),
    }


def format_room(record: Mapping[str, Any]) -> str:
    """One cap for people."""
    if record["problem"] is not None:
        return f"{_format_known(record)}; what was spent is not known, because {record['problem']}: it holds for each run alone"
    return _format_known(record)


def _format_known(record: Mapping[str, Any]) -> str:
    is_money = record["unit"] == "usd"
    free, takes = (
        format_exact(to_micros(amount) or 0) if is_money else format_count(amount, "image")
        for amount in (record["free"], record["takes"])
    )
    start = f"cap of {record['words']}: {free} left, this plan takes {takes}"
    if record["takes_unpriced"]:
        return f"{start}: it cannot be kept while a price is unknown; set price_usd of the backend"
    if record["enough"]:
        return f"{start}: enough"
    if not record["usd" if is_money else "images"]:
        # It frees on no day, so there is no time to resume at.
        return f"{start}: it allows nothing at all; raise it"
    frees = f"{record['frees_at'][:16].replace('T', ' ')} {record['timezone']}"
    return f"{start}: a run stops there, and can be resumed from {frees} on"
