"""Facts about the images of a batch that a summary tells: files that are gone, and sizes that were not kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import OutputError
from tasks.core.records import JobState
from tasks.core.text import format_count
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.queries import read_made_pages
from tasks.store.output import Output
from tasks.store.output.base import IMAGES


@dataclass(frozen=True, slots=True)
class Resized:
    """Images of another size than their row asks for."""

    images: int
    example: str | None
    """The first one: `1344x768 asked, 64x64 came`."""


NOT_RESIZED = Resized(0, None)


async def count_missing(engine: AsyncEngine, out: Output) -> int | None:
    """Images that the ledger has and the output has not; None where the storage does not let us look."""
    try:
        # A storage that cannot be asked leaves the question open, and a page must not say that images are gone.
        here = await out.names(IMAGES)
    except OutputError:
        return None
    gone = 0
    async for page in read_made_pages(engine):
        gone += sum(file_name not in here for _, file_name in page)
    return gone


async def find_resized(engine: AsyncEngine) -> Resized:
    """Count the images whose width or height is not that of their row."""
    # A side that was not asked for is null, which compares as neither equal nor different.
    differs = (jobs.c.width != jobs.c.requested_width) | (jobs.c.height != jobs.c.requested_height)
    mine = differs & (jobs.c.state == JobState.SUCCEEDED) & jobs.c.withdrawn.is_(False)
    [(number,)] = await fetch_rows(engine, select(func.count()).select_from(jobs).where(mine))
    if not number:
        return NOT_RESIZED
    sizes = select(jobs.c.requested_width, jobs.c.requested_height, jobs.c.width, jobs.c.height)
    [(asked_width, asked_height, width, height)] = await fetch_rows(
        engine, sizes.where(mine).order_by(jobs.c.position).limit(1)
    )
    asked = f"{asked_width or 'any'}x{asked_height or 'any'}"
    return Resized(number, f"{asked} asked, {width}x{height} came")


def find_image_remarks(record: dict[str, Any]) -> list[str]:
    """Find remarks about images that differ from what was asked for."""
    gone, resized = record["missing"], record["resized"]
    lines = [f"the files of {format_count(gone, 'image')} are gone"] if gone else []
    if resized:
        lines.append(f"{format_count(resized, 'image')} of another size than asked for ({record['resized_example']})")
    if record["not_kept"]:
        lines.append(f"{format_count(record['not_kept'], 'image')} not kept: left out of exports, still in the folder")
    if record["short"]:
        lines.append(
            f"{format_count(record['short'], 'image')} missing of what was asked for: rejected, no reroll left"
        )
    if record["picked"] or record["rejected"]:
        lines.append(f"a review picks {record['picked']} and rejects {record['rejected']}{_format_agreement(record)}")
    return lines


def _format_agreement(record: dict[str, Any]) -> str:
    # A summary of an older version has no such numbers.
    if not (shared := record.get("judged_by_several")):
        return ""
    share = f"{record['agreed'] / shared:.0%}"
    return (
        f"; {record['reviewers']} reviewers agree on {record['agreed']:,} of {shared:,} that several judged ({share})"
    )
