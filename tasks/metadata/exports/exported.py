"""The record of an export."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tasks.core.errors import InputError
from tasks.core.text import format_command, format_count
from tasks.metadata.exports.selection import SelectedJobs
from tasks.metadata.exports.survey import Survey
from tasks.metadata.exports.targets import ExportFormat
from tasks.store.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The files and counts of an export."""

    format: str
    to: str
    rows: int
    """Jobs in a table, images in the other forms."""
    left_out: int
    """Jobs without an image, in the forms that hold images."""
    files: int
    lost_signatures: int = 0
    """Files that were converted, and have no C2PA signature any more."""

    def as_dict(self) -> dict[str, Any]:
        """The record that programs read."""
        # Only where there are any: most exports convert nothing.
        return {name: value for name, value in asdict(self).items() if value or name != "lost_signatures"}

    def line(self) -> str:
        """The record for people."""
        what = "row" if self.format in {ExportFormat.CSV, ExportFormat.JSONL} else "image"
        left_out = f"; left out without an image: {self.left_out}" if self.left_out else ""
        if self.lost_signatures:
            left_out += f"; converted without their C2PA signature: {format_count(self.lost_signatures, 'file')}"
        number = f" in {self.files} files" if self.files > 1 else ""
        return f"wrote {self.to}: {format_count(self.rows, what)}{number}{left_out}"


def require_images(batch: Survey, jobs: SelectedJobs, out: Output) -> Survey:
    """The survey of a batch that has an image to export.

    Raises:
        InputError: It has none, or none of them is selected.
    """
    if not batch.images and jobs.chosen is not None:
        raise InputError(f"{out}: no image is selected; {format_count(batch.without_image, 'job')} without one")
    if not batch.images:
        raise InputError(f"{out}: has no image to export yet ({format_command('status', out)})")
    return batch
