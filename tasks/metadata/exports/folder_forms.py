"""Exports that fill a folder: tar shards, image files, and the layouts of evaluation suites. Loads Pillow."""

from __future__ import annotations

from pathlib import Path

from tasks.metadata.exports.card import build_shards_card
from tasks.metadata.exports.conversion import Conversion
from tasks.metadata.exports.exported import Exported, require_images
from tasks.metadata.exports.file_names import NameTemplate, plan_names
from tasks.metadata.exports.files import find_stranger, refuse_batch_folder, write_files
from tasks.metadata.exports.selection import SelectedJobs
from tasks.metadata.exports.suites.layouts import SUITES
from tasks.metadata.exports.suites.write import place_images, write_suite
from tasks.metadata.exports.survey import survey_batch
from tasks.metadata.exports.targets import CARD_NAME, ExportFormat, create_folder
from tasks.metadata.exports.webdataset import ShardLimits, write_shards
from tasks.store.output import Output


async def export_shards(
    jobs: SelectedJobs, out: Output, target: Path, limits: ShardLimits, *, overwrite: bool
) -> Exported:
    """Tar shards and a card that describes them.

    Raises:
        InputError: The target may not be replaced or written, no image is chosen, or one is gone.
    """
    with create_folder(target, overwrite=overwrite) as folder:
        batch = require_images(await survey_batch(jobs), jobs, out)
        rows = await write_shards(jobs, out, folder, limits)
        # Counted before the card is written beside them.
        shards = sum(1 for _ in folder.iterdir())
        (folder / CARD_NAME).write_text(build_shards_card(_get_name(target), batch), encoding="utf-8")
    return Exported(
        format=ExportFormat.WEBDATASET, to=str(target), rows=rows, left_out=batch.without_image, files=shards
    )


async def export_files(
    jobs: SelectedJobs,
    out: Output,
    target: Path,
    template: NameTemplate,
    conversion: Conversion,
    *,
    overwrite: bool,
) -> Exported:
    """Image files under names of the user's choice.

    Raises:
        InputError: As `export_shards` has it, or two images would get one name.
    """
    refuse_batch_folder(target)
    batch = require_images(await survey_batch(jobs), jobs, out)
    names = await plan_names(jobs, template, conversion)
    # Only those: a living run may finish an image whose name was not held against the others.
    named = SelectedJobs(jobs.engine, frozenset(names), takes_not_kept=True)
    with create_folder(target, overwrite=overwrite, find_stranger=find_stranger) as folder:
        written = await write_files(named, out, folder, names, conversion)
    return Exported(
        format=ExportFormat.FILES,
        to=str(target),
        rows=written.images,
        left_out=batch.without_image,
        files=written.files,
        lost_signatures=written.lost_signatures,
    )


async def export_suite(
    jobs: SelectedJobs, out: Output, target: Path, form: ExportFormat, *, overwrite: bool
) -> Exported:
    """The layout of an evaluation suite.

    Raises:
        InputError: As `export_files` has it, or a row lacks what the suite needs.
    """
    refuse_batch_folder(target)
    batch = require_images(await survey_batch(jobs), jobs, out)
    suite = SUITES[form]
    placed = await place_images(jobs, suite)
    with create_folder(target, overwrite=overwrite, find_stranger=find_stranger) as folder:
        # Only those: a living run may finish an image meanwhile.
        written = await write_suite(
            SelectedJobs(jobs.engine, frozenset(placed), takes_not_kept=True), out, folder, suite, placed
        )
    return Exported(
        format=form,
        to=str(target / suite.pointed_at),
        rows=written.images,
        left_out=batch.without_image,
        files=written.files,
        lost_signatures=written.lost_signatures,
    )


def _get_name(folder: Path) -> str:
    return folder.resolve().name
