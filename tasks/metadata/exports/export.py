"""`imagen export`: one batch into one form, whole or not at all.

Takes a batch's output and a target, gives what was written. A living run may go on meanwhile: what it has
finished is exported.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from tasks.core.errors import InputError
from tasks.core.text import format_command
from tasks.ledger.database.connect import open_ledger
from tasks.metadata.exports.card import build_batch_card
from tasks.metadata.exports.conversion import Conversion
from tasks.metadata.exports.exported import Exported, require_images
from tasks.metadata.exports.file_names import DEFAULT_NAME, DEFAULT_SIZED_NAME, NameTemplate
from tasks.metadata.exports.selection import SelectedJobs, Selection, select_jobs
from tasks.metadata.exports.survey import survey_batch
from tasks.metadata.exports.tables import write_csv, write_jsonl
from tasks.metadata.exports.targets import (
    CARD_NAME,
    TABLE_NAME,
    ExportFormat,
    create_file,
    require_replaceable,
)
from tasks.metadata.exports.webdataset import ShardLimits
from tasks.store.disk import explain_write_errors
from tasks.store.output import NewFile, Output

STDOUT = Path("-")


async def export_batch(
    out: Output,
    form: ExportFormat,
    target: Path | None,
    *,
    overwrite: bool = False,
    limits: ShardLimits | None = None,
    raw_cells: bool = False,
    selection: Selection | None = None,
    name: str | None = None,
    conversion: Conversion | None = None,
) -> Exported:
    """Export the batch in `out`.

    Args:
        out: The batch's output.
        form: The format to write.
        target: Where; `-` is standard output for the tables. None: a card goes into the batch's output.
        overwrite: Replace an earlier export.
        limits: Of tar shards.
        raw_cells: Of CSV: write texts that a spreadsheet takes for formulas as they are.
        selection: The jobs that are exported; None: all. A card describes all.
        name: Of files: the template of their names; None: the names that they have.
        conversion: Of files: sizes and format; None: copies.

    Raises:
        InputError: `out` is no batch, the selection cannot be evaluated, the target may not be replaced or written, or an image is gone.
    """
    selection, conversion = selection or Selection(), conversion or Conversion()
    # Before the ledger is opened: a wrong target or template needs no batch.
    target = _check_target(out, form, target, selection)
    template = _read_template(form, name, conversion)
    write = _choose_writer(form, limits or ShardLimits(), template, conversion, raw_cells=raw_cells)
    async with open_ledger(out.ledger_folder()) as engine:
        return await write(await select_jobs(engine, out, selection), out, target, overwrite)


def _choose_writer(
    form: ExportFormat, limits: ShardLimits, template: NameTemplate, conversion: Conversion, *, raw_cells: bool
) -> Callable[[SelectedJobs, Output, Path, bool], Awaitable[Exported]]:
    match form:
        case ExportFormat.PARQUET:
            return _export_embedded
        case ExportFormat.CARD:
            return _export_card
        case ExportFormat.CSV:
            return partial(_export_table, form, partial(write_csv, raw_cells=raw_cells))
        case ExportFormat.JSONL:
            return partial(_export_table, form, write_jsonl)
    return partial(_export_folder, form=form, limits=limits, template=template, conversion=conversion)


async def _export_folder(
    jobs: SelectedJobs,
    out: Output,
    target: Path,
    overwrite: bool,  # noqa: FBT001  one shape for all forms
    *,
    form: ExportFormat,
    limits: ShardLimits,
    template: NameTemplate,
    conversion: Conversion,
) -> Exported:
    from tasks.metadata.exports import folder_forms as folders  # noqa: PLC0415  loads Pillow, which no table needs

    if form is ExportFormat.WEBDATASET:
        return await folders.export_shards(jobs, out, target, limits, overwrite=overwrite)
    if form is ExportFormat.FILES:
        return await folders.export_files(jobs, out, target, template, conversion, overwrite=overwrite)
    return await folders.export_suite(jobs, out, target, form, overwrite=overwrite)


def _check_target(out: Output, form: ExportFormat, target: Path | None, selection: Selection) -> Path:
    if form is ExportFormat.CARD:
        if not selection.is_whole:
            raise InputError("a card describes the whole batch: leave --picked, --verdict, --ids and --where out")
        card = f"{out}/{CARD_NAME}"
        if target not in {None, Path(card)}:
            raise InputError(f"the card describes the folder that it stands in: leave --to out, it becomes {card}")
        return Path(card)
    if target is None:
        raise InputError(f"--to PATH is missing: where the {form} goes")
    if target == STDOUT and form not in {ExportFormat.CSV, ExportFormat.JSONL}:
        raise InputError(f"{form} does not go to standard output; name a path for --to")
    return target


async def _export_embedded(jobs: SelectedJobs, out: Output, target: Path, overwrite: bool) -> Exported:  # noqa: FBT001  one shape for all forms
    from tasks.metadata.exports.embedded_parquet import write_embedded  # noqa: PLC0415  loads pyarrow, which no other form needs

    batch = require_images(await survey_batch(jobs), jobs, out)
    with create_file(target, overwrite=overwrite) as path:
        rows = await write_embedded(jobs, out, path)
    return Exported(format=ExportFormat.PARQUET, to=str(target), rows=rows, left_out=batch.without_image, files=1)


def _read_template(form: ExportFormat, name: str | None, conversion: Conversion) -> NameTemplate:
    if not conversion.is_copy and form is not ExportFormat.FILES:
        raise InputError(f"--sizes, --as and --sign are for --format files; {form} holds the images as they are")
    if name is not None and form is not ExportFormat.FILES:
        raise InputError(f"--name is for --format files; {form} has no files of yours to name")
    usual = DEFAULT_SIZED_NAME if len(conversion.sizes) > 1 else DEFAULT_NAME
    return NameTemplate(usual if name is None else name)


async def _export_card(jobs: SelectedJobs, out: Output, _: Path, overwrite: bool) -> Exported:  # noqa: FBT001  one shape for all forms
    if not out.has(TABLE_NAME):
        raise InputError(
            f"{out}: has no {TABLE_NAME} yet; a run writes it at its end ({format_command('resume', out)})"
        )
    # Text, not a path: the output may be a bucket.
    card = f"{out}/{CARD_NAME}"
    require_replaceable(card, exists=out.has(CARD_NAME), overwrite=overwrite)
    batch = await survey_batch(jobs)
    with explain_write_errors("the card", out):
        await out.write(partial(NewFile, CARD_NAME, build_batch_card(out.name, batch).encode()))
    return Exported(format=ExportFormat.CARD, to=card, rows=batch.images, left_out=0, files=1)


async def _export_table(
    form: ExportFormat,
    write: Callable[[SelectedJobs, TextIO], Awaitable[int]],
    jobs: SelectedJobs,
    _: Output,
    target: Path,
    overwrite: bool,  # noqa: FBT001  one shape for all forms
) -> Exported:
    if target == STDOUT:
        rows = await write(jobs, _open_standard_output())
    else:
        with create_file(target, overwrite=overwrite) as path, path.open("w", encoding="utf-8", newline="") as file:
            rows = await write(jobs, file)
    return Exported(format=form, to=str(target), rows=rows, left_out=0, files=1)


def _open_standard_output() -> TextIO:
    """In UTF-8 and with the line ends of the form, whatever this terminal's language is."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A pipe in a C locale is ASCII, and Windows would double the line ends.
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return sys.stdout
