"""Reading everything that the report needs: the usage table, this machine's ledgers, the schedules of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from typing import Any

from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import ImagenError
from tasks.core.safe_text import error_text
from tasks.usage.costs.batches import read_batches
from tasks.usage.costs.figures import read_figures
from tasks.usage.costs.forecast import PlannedDays, build_forecast
from tasks.usage.costs.months import Months
from tasks.usage.costs.report import CostParts, build_record

FindPlanned = Callable[[date], PlannedDays | None]
"""Asks a Prefect server for the runs to come before a day; None: there is no server. Blocks."""


async def build_report(
    settings: UsageSettings, folders: Sequence[str], *, now: datetime, find_planned: FindPlanned
) -> dict[str, Any]:
    """The report as one record.

    Args:
        settings: The sink whose rows are added up.
        folders: Where batches of this machine lie; verdicts and reasons of failures come from their ledgers.
        now: The instant up to which the month goes; aware.
        find_planned: Where schedules come from.

    Raises:
        UsageError: The sink cannot be read. What ledgers and servers do not tell is left out, and told.
    """
    months = Months(now)
    figures = await read_figures(settings, months)
    first_us = round(datetime.combine(months.first, time()).timestamp() * 1e6)
    local = await read_batches(folders, since_us=first_us)
    planned, server = None, "no Prefect server answers"
    try:
        planned = await asyncio.to_thread(find_planned, months.end)
    except ImagenError as exc:
        server = error_text(exc, most_chars=200)
    if planned is not None:
        server = planned.server
    forecast = build_forecast(figures, planned)
    if planned is not None and forecast.basis != "schedules":
        server = f"the server at {server} plans no run of a deployment with costs"
    return build_record(settings, CostParts(figures=figures, forecast=forecast, local=local, server=server))
