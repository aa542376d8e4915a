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
        "Packages can add others, imagen.yaml judges.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="Where a score's model runs, such as cuda or cpu.")
]


def command(
    folder: options.Folder,
    names: With,
    device: Device = None,
    budget: options.Budget = None,
    retry_failed: options.RetryFailed = False,
    retry_held: options.RetryHeld = False,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Score the images of a batch and tell which are blank or alike; only new images are looked at.

    Example: imagen score runs/foxes --with phash,blank
    """
    import asyncio
    import sys
    from os import environ

    from tasks.core.configuration.settings import load_settings
    from tasks.core.errors import Interrupted
    from tasks.core.paths import locate_config
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.gallery.report import show_progress
    from tasks.runs.score import score_and_push
    from tasks.scores import parse_names
    from tasks.scores.judge.judge import Again
    from tasks.scores.report import build_record, format_record
    from tasks.scores.score_batch import Judging
    from tasks.store.output import parse_output
    from tasks.usage.caller import resolve_caller

    settings = load_settings(locate_config(config))
    wanted, out = parse_names(names, settings.scores), parse_output(folder)
    judging = Judging(settings, budget, Again(failed=retry_failed, held=retry_held), resolve_caller(environ))
    try:
        with show_progress("images") as progress:
            scored, warning = asyncio.run(score_and_push(out, wanted, judging, device=device, on_progress=progress))
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. What was scored is kept; run the same command again to go on.") from None
    record = build_record(scored, wanted, out)
    record["warnings"] += [] if warning is None else [warning]
    print(dump_json(record) if json else escape_lines("\n".join(format_record(record))))
    if scored.stopped is not None:
        sys.exit(scored.stopped.exit_code)
    # As for images: 1 where something has no answer.
    sys.exit(1 if any(kind != "judged" for ends in scored.judged.values() for kind in ends) else 0)
