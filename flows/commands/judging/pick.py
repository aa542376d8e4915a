"""`imagen pick`: a verdict for every image in a list of ids."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from flows.cli_support import options
from flows.cli_support.values import expand_path, in_range

MOST_RATING = 5

Ids = Annotated[
    str,
    typer.Option(
        "--ids",
        metavar="FILE",
        help="File with a row id, job_id or image file on each line. - is standard input.",
        callback=expand_path,
    ),
]
VerdictOption = Annotated[
    Literal["pick", "reject", "none"],
    typer.Option("--verdict", help="Verdict on each image. none takes an earlier one back."),
]
Rating = Annotated[
    int | None,
    typer.Option("--rating", metavar="N", help="Rating of each image, from 1 to 5.", callback=in_range(1, MOST_RATING)),
]
Note = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Note for each image.")]
Reviewer = Annotated[
    str | None, typer.Option("--reviewer", metavar="NAME", help="Name of the reviewer. The default is your login.")
]


def command(
    folder: options.Folder,
    ids: Ids,
    verdict: VerdictOption = "pick",
    rating: Rating = None,
    note: Note = None,
    reviewer: Reviewer = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Pick or reject the images of a list; the verdicts go into the ledger.

    Example: imagen pick runs/foxes --ids chosen.txt
    """
    import asyncio

    from flows.cli_support.id_lists import read_id_list
    from tasks.core.safe_text import dump_json
    from tasks.core.text import format_count
    from tasks.report.review.judging import judge_ids, read_reviewer
    from tasks.store.output import parse_output

    names = read_id_list(ids)
    said = None if verdict == "none" else verdict
    number = asyncio.run(
        judge_ids(parse_output(folder), names, reviewer=read_reviewer(reviewer), verdict=said, rating=rating, note=note)
    )
    record = {"images": number, "verdict": said, "rating": rating, "out": folder}
    words = {"pick": "picked", "reject": "rejected", "none": "taken back"}[verdict]
    print(dump_json(record) if json else f"{words}: {format_count(number, 'image')}")
