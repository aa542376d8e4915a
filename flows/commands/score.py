"""`imagen score`: numbers about the images of a batch, kept beside the ledger's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_support import options
from flows.cli_support.fields import take_fields

if TYPE_CHECKING:  # nothing heavy is loaded for `imagen --help`
    from tasks.core.configuration.settings import Settings
    from tasks.scores.score_batch import Scored
    from tasks.store.output import Output


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

AskFailed = Annotated[bool, typer.Option("--retry-failed", help="Ask judges again about images whose call failed.")]
AskHeld = Annotated[
    bool, typer.Option("--retry-held", help="Pay again for calls of judges that may have been paid for.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """Options of `imagen score`."""

    folder: options.Folder
    names: With
    device: Device = None
    budget: options.Budget = None
    retry_failed: AskFailed = False
    retry_held: AskHeld = False
    config: options.Config = None
    json: options.Json = False
    verbose: options.Verbose = False


@take_fields(ScoreOptions)
def command(given: ScoreOptions) -> None:
    """Score the images of a batch and tell which are blank or alike; only new images are looked at.

    Example: imagen score runs/foxes --with phash,blank
    """
    import sys

    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.runs.configuration import load_named_settings
    from tasks.scores import parse_names
    from tasks.scores.report import build_record, format_record
    from tasks.store.output import parse_output

    settings = load_named_settings(given.config)
    names, out = parse_names(given.names, settings.scores), parse_output(given.folder)
    scored, warning = _score(given, settings, names, out)
    record = build_record(scored, names, out)
    record["warnings"] += [] if warning is None else [warning]
    print(dump_json(record) if given.json else escape_lines("\n".join(format_record(record))))
    if scored.stopped is not None:
        sys.exit(scored.stopped.exit_code)
    # As for images: 1 where something has no answer.
    sys.exit(1 if any(kind != "judged" for ends in scored.judged.values() for kind in ends) else 0)


def _score(given: ScoreOptions, settings: Settings, names: Sequence[str], out: Output) -> tuple[Scored, str | None]:
    """Score with the progress on the screen; gives a warning of the usage table too."""
    import asyncio
    from os import environ

    from tasks.core.errors import Interrupted
    from tasks.report.gallery.report import show_progress
    from tasks.runs.score import score_and_push
    from tasks.scores.judge.judge import Again
    from tasks.scores.score_batch import Judging
    from tasks.usage.caller import resolve_caller

    again = Again(failed=given.retry_failed, held=given.retry_held)
    judging = Judging(settings, given.budget, again, resolve_caller(environ))
    try:
        with show_progress("images") as progress:
            return asyncio.run(score_and_push(out, names, judging, device=given.device, on_progress=progress))
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. What was scored is kept; run the same command again to go on.") from None
