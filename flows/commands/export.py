"""`imagen export`: a batch in the forms that other programs take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli_support import options
from flows.cli_support.fields import take_fields
from flows.cli_support.values import expand_path, in_range
from tasks.core.values import MOST_JOBS
from tasks.metadata.exports.targets import ExportFormat

if TYPE_CHECKING:
    from tasks.core.configuration.sections import SigningSettings
    from tasks.metadata.exports.conversion import Conversion
    from tasks.metadata.exports.selection import Selection


Format = Annotated[
    ExportFormat,
    typer.Option(
        "--format",
        metavar="FORM",  # its names are too long for 80 columns
        help="webdataset: tar shards. parquet: one file with the images inside. csv, jsonl: the table. "
        "card: README.md for the Hugging Face Hub. files: image files under names of your choice. "
        "geneval, t2i-compbench, dpg, wise, tifa, hpsv2: as that evaluation suite reads images.",
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="PATH",
        help="Folder (webdataset, files) or file to write. - is standard output, for csv and jsonl. "
        "hf://datasets/OWNER/NAME: a data set of the Hugging Face Hub, for webdataset, parquet and files.",
        callback=expand_path,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")]
RawCells = Annotated[
    bool, typer.Option("--raw-cells", help="In csv: leave texts as they are that a spreadsheet takes for formulas.")
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="TEMPLATE",
        help="In files: their names, with columns of the table and the manifest, as {campaign}/{id}-{sample}.{ext}.",
    ),
]
Sizes = Annotated[
    str | None,
    typer.Option("--sizes", metavar="N,N", help="In files: longest sides in pixels, a file each. Never enlarges."),
]
As = Annotated[
    Literal["png", "jpeg", "webp"] | None, typer.Option("--as", help="In files: the format to convert images to.")
]
Quality = Annotated[
    int, typer.Option("--quality", metavar="N", help="Of --as jpeg and webp, from 1 to 100.", callback=in_range(1, 100))
]
Sign = Annotated[
    bool,
    typer.Option(
        "--sign", help="In files: sign them with the certificate of output.c2pa; edits of signed ones are chained."
    ),
]
ShardImages = Annotated[
    int,
    typer.Option(
        "--shard-images", metavar="N", help="Maximum number of images in a tar shard.", callback=in_range(1, MOST_JOBS)
    ),
]
ShardMb = Annotated[
    int,
    typer.Option("--shard-mb", metavar="N", help="Maximum size of a tar shard in MB.", callback=in_range(1, MOST_JOBS)),
]

Picked = Annotated[bool, typer.Option("--picked", help="Only images that a review picked. Short for --verdict pick.")]
VerdictOption = Annotated[
    Literal["pick", "reject", "none"] | None,
    typer.Option("--verdict", help="Only images with this verdict of a review. none: not judged."),
]
Ids = Annotated[
    str | None,
    typer.Option(
        "--ids",
        metavar="FILE",
        help="Only these: a file with a row id, job_id or image file on each line. - is standard input.",
        callback=expand_path,
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help="Only rows for which this is true, in SQLite's language, over the columns of the table and the manifest.",
    ),
]

All = Annotated[bool, typer.Option("--all", help="Also images that `keep` or `reject` of the run left out.")]


@dataclass(frozen=True)
class Given:
    """The options, in the order in which help lists them."""

    folder: options.Folder
    format: Format
    to: To = None
    overwrite: Overwrite = False
    picked: Picked = False
    verdict: VerdictOption = None
    ids: Ids = None
    where: Where = None
    everything: All = False
    name: Name = None
    sizes: Sizes = None
    as_: As = None
    quality: Quality = 90
    sign: Sign = False
    raw_cells: RawCells = False
    shard_images: ShardImages = 10_000
    shard_mb: ShardMb = 1_000
    json: options.Json = False
    verbose: options.Verbose = False


@take_fields(Given)
def command(given: Given) -> None:
    """Write a batch as image files, tar shards, Parquet with images, CSV, JSONL or a dataset card.

    Example: imagen export runs/foxes --format webdataset --to shards
    """
    import asyncio
    import sys
    from functools import partial

    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.metadata.exports.export import STDOUT, export_batch
    from tasks.metadata.exports.hub import HUB, push_export
    from tasks.metadata.exports.webdataset import ShardLimits
    from tasks.store.output import parse_local_path, parse_output

    out, selection = parse_output(given.folder), _build_selection(given)
    export = partial(
        export_batch,
        out,
        given.format,
        # A megabyte is 1,000,000 bytes here, as storage is sold.
        limits=ShardLimits(samples=given.shard_images, bytes=given.shard_mb * 1_000_000),
        raw_cells=given.raw_cells,
        selection=selection,
        name=given.name,
        conversion=_build_conversion(given),
    )
    target = None
    if given.to is not None and given.to.startswith(HUB):
        exporting = push_export(out, given.format, given.to, export, selection=selection, overwrite=given.overwrite)
    else:
        target = None if given.to is None else parse_local_path(given.to)
        exporting = export(target, overwrite=given.overwrite)
    done = asyncio.run(exporting)
    # A table on standard output is for a program, and a line of ours would be taken for a row of it.
    file = sys.stderr if target == STDOUT else sys.stdout
    print(dump_json(done.as_dict()) if given.json else escape_lines(done.line()), file=file)


def _build_conversion(given: Given) -> Conversion:
    """The sizes, format and certificate that the options name."""
    from tasks.metadata.exports.conversion import Conversion, parse_sizes

    sizes = () if given.sizes is None else parse_sizes(given.sizes)
    return Conversion(sizes, given.as_, given.quality, _load_signing() if given.sign else None)


def _load_signing() -> SigningSettings:
    """The certificate of the user's own configuration, tried on a pixel."""
    from tasks.core.configuration.settings import load_settings
    from tasks.core.paths import locate_config
    from tasks.store.signing import check_signing

    signing = load_settings(locate_config()).output.c2pa
    check_signing(signing)
    return signing


def _build_selection(given: Given) -> Selection:
    """The part of the batch that the options name."""
    from flows.cli_support.id_lists import read_id_list
    from tasks.core.errors import InputError
    from tasks.metadata.exports.selection import Selection

    if given.picked and given.verdict not in {None, "pick"}:
        raise InputError(f"--picked is --verdict pick; leave one of --picked and --verdict {given.verdict} out")
    names = None if given.ids is None else read_id_list(given.ids)
    # An empty list would export everything or nothing, and either may be what nobody meant.
    if names == []:
        raise InputError(f"{given.ids}: names no image; write a row id, job_id or image file on each line")
    verdict = "pick" if given.picked else given.verdict
    return Selection(verdict=verdict, ids=names, where=given.where, everything=given.everything)
