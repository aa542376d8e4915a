"""A survey of a batch before its export: how many images, by which models, in which formats."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.core.records import JobState
from tasks.metadata.exports.selection import SelectedJobs


@dataclass(frozen=True, slots=True)
class Survey:
    """A batch in numbers."""

    images: int
    without_image: int
    models: dict[str, int]
    """Images by model, or by type of backend where it has no model; the most frequent first."""
    extensions: list[str]
    """Of the images, without dots."""


async def survey_batch(jobs: SelectedJobs) -> Survey:
    """Read the ledger once."""
    models: Counter[str] = Counter()
    extensions: set[str] = set()
    rows = 0
    async for page in jobs.read_pages():
        rows += len(page)
        for row in page:
            if row["state"] == JobState.SUCCEEDED:
                models[row["model"] or row["backend_type"]] += 1
                extensions.add(PurePosixPath(row["file_name"]).suffix[1:])
    return Survey(models.total(), rows - models.total(), dict(models.most_common()), sorted(extensions))
