"""Rerolls of many images: from what the user asks for to one plan under one budget."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.records import JobState
from tasks.ledger.database.connect import open_ledger
from tasks.metadata.exports.selection import Selection, select_jobs
from tasks.plan.reroll import Reroll, find_rerolled
from tasks.runs.request import RunRequest
from tasks.store.output import Output


@dataclass(frozen=True, slots=True)
class WantedRerolls:
    """The images that are made once more, and how many of the chosen ones are not."""

    rerolls: list[Reroll]
    already: int = 0
    """Images that have a reroll."""
    without_image: int = 0
    """Rows that have no image yet."""


async def find_rerolls(engine: AsyncEngine, out: Output, request: RunRequest) -> WantedRerolls:
    """The rerolls that a request asks for. Of many images, each gets one, so that asking twice pays once.

    Raises:
        InputError: A name is none of the batch, or the condition cannot be evaluated. Nothing was spent.
    """
    if request.reroll is not None:
        return WantedRerolls([request.reroll])
    if not request.rerolls_many:
        return WantedRerolls([])
    chosen = await select_jobs(
        engine,
        out,
        Selection(
            verdict="reject" if request.rejected else None,
            ids=request.reroll_ids,
            where=request.reroll_where,
            # A gate that left an image out is a reason to make it again.
            everything=True,
        ),
    )
    rerolled = await find_rerolled(engine)
    rerolls, already, without = list[Reroll](), 0, 0
    async for page in chosen.read_pages():
        for row in page:
            if row["job_id"] in rerolled:
                already += 1
            elif row["state"] != JobState.SUCCEEDED:
                without += 1
            else:
                rerolls.append(Reroll(source=row["job_id"]))
    return WantedRerolls(rerolls, already, without)


async def look_for_rerolls(out: Output, request: RunRequest) -> WantedRerolls:
    """The same for a batch that is not open.

    Raises:
        InputError: See `find_rerolls`, or there is no such batch.
    """
    async with open_ledger(out.ledger_folder()) as engine:
        return await find_rerolls(engine, out, request)
