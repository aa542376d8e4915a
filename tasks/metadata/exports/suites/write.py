"""The images of a batch in a suite's layout."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from tasks.core.errors import InputError
from tasks.core.records import JobState
from tasks.ledger.queries import read_job_pages
from tasks.metadata.columns import build_plain_row
from tasks.metadata.exports.conversion import Conversion
from tasks.metadata.exports.convert import convert_image
from tasks.metadata.exports.file_names import find_collisions, tell_collisions
from tasks.metadata.exports.files import INDEX_NAME
from tasks.metadata.exports.images import ExportedImage, iterate_images
from tasks.metadata.exports.selection import SelectedJobs
from tasks.metadata.exports.suites.base import PlacedImage, Suite, SuiteImage
from tasks.store.output import Output


@dataclass(frozen=True, slots=True)
class WrittenSuite:
    """Counts of the export."""

    images: int
    files: int
    lost_signatures: int


async def place_images(jobs: SelectedJobs, suite: Suite) -> dict[str, PlacedImage]:
    """The place of each image, by job_id.

    Raises:
        InputError: A row lacks what the suite needs, or several images would get one name; nothing was written.
    """
    placed: dict[str, PlacedImage] = {}
    wanted = {row["job_id"] async for page in jobs.read_pages() for row in page if row["state"] == JobState.SUCCEEDED}
    taken: dict[str, str] = {}
    collisions: list[str] = []
    lines: dict[int, tuple[int, int]] = {}
    groups: dict[str, int] = {}
    # All jobs, not those that are exported: a missing image must not move the numbers of the others.
    async for page in read_job_pages(jobs.engine):
        for row in page:
            extra = json.loads(row["extra"])
            values = {name.lower(): value for name, value in extra.items()} | build_plain_row(row)
            if row["line"] not in lines:
                group = str(values.get(suite.group)) if suite.group else ""
                lines[row["line"]] = len(lines), groups.setdefault(group, 0)
                groups[group] += 1
            if row["job_id"] in wanted:
                image = SuiteImage(values, extra, *lines[row["line"]])
                path = suite.choose_path(image)
                collisions += find_collisions(taken, [path], image.job_id)
                placed[image.job_id] = PlacedImage(image, path)
    if collisions:
        raise InputError(
            tell_collisions(collisions, f"--format {suite.name}", 'choose with --where "sample = 0" or --picked')
        )
    return placed


async def write_suite(
    jobs: SelectedJobs, out: Output, folder: Path, suite: Suite, placed: dict[str, PlacedImage]
) -> WrittenSuite:
    """Fill an empty folder with the placed images and what the suite's program reads besides.

    Raises:
        OutputError: An image of the batch is not there, or cannot be converted.
        InputError: The images do not fit the suite.
    """
    conversion, lost = Conversion(format=suite.form), 0
    written: list[PlacedImage] = []
    async with aclosing(iterate_images(jobs, out)) as found:
        async for image in found:
            each = placed[image.row["job_id"]]
            lost += await asyncio.to_thread(_write_image, folder / each.path, image, conversion)
            written.append(each)
    files = await asyncio.to_thread(suite.finish, folder, written)
    # Tells an export that may be replaced from anybody else's folder.
    lines = (json.dumps({"file_name": each.path, "job_id": each.image.job_id}) for each in files)
    (folder / INDEX_NAME).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return WrittenSuite(images=len(written), files=len(files), lost_signatures=lost)


def _write_image(path: Path, image: ExportedImage, conversion: Conversion) -> bool:
    converted = convert_image(image, None, conversion)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(converted.data)
    return converted.lost_signature
