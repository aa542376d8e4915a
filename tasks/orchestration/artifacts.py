"""Artifacts in Prefect's pages: progress, summary and failures of a batch.

Artifacts are for people. One that cannot be written is logged and forgotten: it never costs an image.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from slugify import slugify

from tasks.core.clock import repeat_every
from tasks.core.errors import BadImage, OutputError
from tasks.core.safe_text import error_text, escape_control_characters, escape_markdown
from tasks.core.text import format_count
from tasks.generate.batch import Batch
from tasks.ledger.queries import find_failures, find_first_images
from tasks.report.gallery.thumbnails import draw_contact_sheet, encode_thumbnail
from tasks.report.summary import Summary, format_summary
from tasks.store.images import DECODER_ERRORS

# Seconds; an artifact is one call to the server and one row in its database.
UPDATE_EVERY_S = 5.0
# Seconds of one update: while a server is away, Prefect's client would try it for a minute.
UPDATE_TIMEOUT_S = 15.0
FAILURES_SHOWN = 100
"""A table artifact is one database row; a long one slows the UI."""

# A dozen small images are some 100 KB of text in one row; Prefect's pages load it whole.
SHEET_IMAGES, SHEET_COLUMNS, SHEET_SIDE_PX = 12, 4, 160
# Bytes of one image; a larger one is left out, because decoding it would hold memory that the run needs.
SHEET_MOST_BYTES = 16 * 1024**2

logger = logging.getLogger(__name__)


@asynccontextmanager
async def keep_progress_artifact(batch: Batch, left: int, *, series: str) -> AsyncIterator[None]:
    """Keep a progress artifact true for the duration of the block."""
    artifact_id: UUID | None = None
    # A server that is away must not keep the batch from starting, so the artifact may not exist.
    with _ignore_errors():
        description = f"{left} jobs into {escape_markdown(str(batch.out))}"
        async with asyncio.timeout(UPDATE_TIMEOUT_S):
            artifact_id = await acreate_progress_artifact(
                0.0, key=_build_key(series, "progress"), description=description
            )

    missed = False

    async def update() -> None:
        nonlocal missed
        if artifact_id is not None:
            # A server that is away for hours is one line and not thousands.
            with _ignore_errors(logging.DEBUG if missed else logging.WARNING):
                missed = True
                # Rerolls come to the jobs that there were, and Prefect refuses more than 100 %.
                total = max(1, left, batch.tally.done + batch.tally.in_flight)
                async with asyncio.timeout(UPDATE_TIMEOUT_S):
                    await aupdate_progress_artifact(artifact_id, 100 * batch.tally.done / total)
                missed = False

    async with repeat_every(update, every_s=UPDATE_EVERY_S):
        yield


async def write_report_artifacts(batch: Batch, summary: Summary, *, series: str) -> None:
    """Write the summary with small images and, where there are any, the failures."""
    # Read before the artifact is built: the ledger is the record, and an error of it is the run's own.
    rows = await find_failures(batch.engine, FAILURES_SHOWN)
    record = summary.as_dict()
    with _ignore_errors():
        markdown = "\n".join(f"- {escape_markdown(line)}" for line in format_summary(record))
        sheet = await _draw_contact_sheet(batch)
        await acreate_markdown_artifact(
            f"# {escape_markdown(batch.out.name)}\n\n{markdown}\n\n{sheet}\n",
            key=_build_key(series, "summary"),
            description=f"{record['images']} of {record['total']} images in {escape_markdown(str(batch.out))}",
        )
        if rows:
            await acreate_table_artifact(
                [{name: _spell_cell(value) for name, value in row.items()} for row in rows],
                key=_build_key(series, "failures"),
                description=f"{_count_failures(len(rows))} without an image in {escape_markdown(str(batch.out))}",
            )


def _spell_cell(value: Any) -> Any:
    return escape_control_characters(value) if isinstance(value, str) else value


async def _draw_contact_sheet(batch: Batch) -> str:
    """Draw the batch's first images in markdown; the image is in it, so no address has to lead to it."""
    labels: list[str] = []
    images: list[bytes] = []
    for label, file_name in await find_first_images(batch.engine, SHEET_IMAGES):
        # The sheet is an extra: an image that cannot be read any more is left out of it.
        with suppress(OutputError, BadImage, *DECODER_ERRORS):
            data = await asyncio.to_thread(batch.out.read, file_name)
            if data is not None and len(data) <= SHEET_MOST_BYTES:
                images.append(await asyncio.to_thread(encode_thumbnail, data, side_px=SHEET_SIDE_PX))
                labels.append(slugify(label))
    if not images:
        return ""
    # One image: Prefect's pages put each of several on a line of its own, and columns without headings into one.
    sheet = await asyncio.to_thread(draw_contact_sheet, images, side_px=SHEET_SIDE_PX, columns=SHEET_COLUMNS)
    names = ", ".join(labels)
    return f"![{names}](data:image/webp;base64,{base64.b64encode(sheet).decode()})\n\n{names}"


def _count_failures(shown: int) -> str:
    return f"The first {shown} jobs" if shown == FAILURES_SHOWN else format_count(shown, "job")


def _build_key(series: str, what: str) -> str:
    """Build an artifact's key: the same for all runs of a deployment or manifest, so that Prefect keeps one history."""
    return f"imagen-{slugify(series) or 'batch'}-{what}"


@contextmanager
def _ignore_errors(level: int = logging.WARNING) -> Iterator[None]:
    try:
        yield
    except Exception as exc:  # noqa: BLE001  whatever the server says, the batch goes on
        # A time-out has no words of its own.
        logger.log(level, "an artifact could not be written: %s", error_text(str(exc) or type(exc).__name__))
