"""`imagen score`: numbers about the images of a batch, kept beside the ledger's rows."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli_support import options

NAME = "score"

With = Annotated[
    str,
    typer.Option(
        "--with",
        metavar="NAME[,NAME]",
        help="Scores to compute. phash: near duplicates. blank: images of one colour. sharpness: edges. "
        "Packages can add others.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="Where a score's model runs, such as cuda or cpu.")
]


def command(
    folder: options.Folder,
    names: With,
    device: Device = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Score the images of a batch and tell which are blank or alike; only new images are looked at.

    Example: imagen score runs/foxes --with phash,blank
    """
    import asyncio

    from tasks.core.errors import Interrupted
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.gallery.report import show_progress
    from tasks.scores import parse_names
    from tasks.scores.report import build_record, format_record
    from tasks.scores.score_batch import score_batch
    from tasks.store.output import parse_output

    wanted, out = parse_names(names), parse_output(folder)
    try:
        with show_progress("images") as progress:
            scored = asyncio.run(score_batch(out, wanted, device=device, on_progress=progress))
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. What was scored is kept; run the same command again to go on.") from None
    record = build_record(scored, wanted, out)
    print(dump_json(record) if json else escape_lines("\n".join(format_record(record))))
