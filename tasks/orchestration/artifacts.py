"""Artifacts in Prefect's pages: progress, summary and failures of a batch.

Artifacts are for people. One that cannot be written is logged and forgotten: it never costs a picture.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from slugify import slugify

from tasks.core.clock import repeat_every
from tasks.generate.batch import Batch
from tasks.ledger.queries import find_failures
from tasks.report.summary import Summary, format_summary

UPDATE_EVERY_S = 5.0
FAILURES_SHOWN = 100
"""A table artifact is one database row; a long one slows the UI."""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def keep_progress_artifact(batch: Batch, left: int) -> AsyncIterator[None]:
    """Keep a progress artifact true for the duration of the block."""
    artifact_id: UUID | None = None
    with _ignore_errors():
        artifact_id = await acreate_progress_artifact(
            0.0, key=_build_key(batch, "progress"), description=f"{left} jobs"
        )

    async def update() -> None:
        if artifact_id is not None:
            with _ignore_errors():
                await aupdate_progress_artifact(artifact_id, 100 * batch.tally.done / max(1, left))

    async with repeat_every(update, every_s=UPDATE_EVERY_S):
        yield


async def write_report_artifacts(batch: Batch, summary: Summary) -> None:
    """Write the summary and, where there are any, the failures."""
    rows = await find_failures(batch.engine, FAILURES_SHOWN)
    with _ignore_errors():
        markdown = "\n".join(f"- {line}" for line in format_summary(summary.as_dict()))
        await acreate_markdown_artifact(f"# {batch.out.name}\n\n{markdown}\n", key=_build_key(batch, "summary"))
        if rows:
            await acreate_table_artifact([dict(row) for row in rows], key=_build_key(batch, "failures"))


def _build_key(batch: Batch, what: str) -> str:
    """An artifact key: the same for every run of a batch, so that Prefect keeps a history."""
    return f"imagen-{slugify(batch.out.name) or 'batch'}-{what}"


@contextmanager
def _ignore_errors() -> Iterator[None]:
    try:
        yield
    except Exception as exc:  # noqa: BLE001  whatever the server says, the batch goes on
        logger.warning("an artifact could not be written: %s", exc)
