"""`imagen reroll`: one image once more, or many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_support import options
from flows.cli_support.fields import take_fields
from flows.cli_support.values import expand_path, in_range

if TYPE_CHECKING:
    from tasks.runs.request import RunRequest

MOST_SEED = 2**63 - 1

Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed of the new image. Without it, a new one is derived.",
        callback=in_range(0, MOST_SEED),
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="TEXT", help="Another prompt. Without --seed, the old image's seed is kept."),
]


Rejected = Annotated[
    bool, typer.Option("--rejected", help="Reroll every image that a review rejects and that has no reroll yet.")
]
Ids = Annotated[
    str | None,
    typer.Option(
        "--ids",
        metavar="FILE",
        help="Reroll these: a file with a row id, job_id or image file on each line. - is standard input.",
        callback=expand_path,
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help="Reroll images for which this is true, in SQLite's language, over the columns of the table and the manifest.",
    ),
]
Id = Annotated[str | None, options.ID_OPTION]


@dataclass(frozen=True)
class Given:
    """The options, in the order in which help lists them."""

    folder: options.Folder
    id: Id = None
    rejected: Rejected = False
    ids: Ids = None
    where: Where = None
    seed: Seed = None
    prompt: Prompt = None
    budget: options.Budget = None
    json: options.Json = False
    config: options.Config = None
    verbose: options.Verbose = False
    quiet: options.Quiet = False


@take_fields(Given)
def command(given: Given) -> None:
    """Make one image of a batch once more, with another seed or prompt, or many with new seeds.

    The old images stay, and the batch's budget holds. Of many, only images without a reroll are made.

    Example: imagen reroll runs/foxes --id fox --prompt "a red fox at night"
    """
    import sys

    from tasks.core.errors import InputError
    from tasks.runs.request import RunRequest

    many = given.rejected or given.ids is not None or given.where is not None
    if (given.id is None) != many:
        raise InputError("name one image with --id, or many with --rejected, --ids or --where")
    request = RunRequest(out=given.folder, config=given.config, budget_usd=given.budget)
    if given.id is not None:
        sys.exit(_reroll_one(request, given.id, given))
    if given.seed is not None or given.prompt is not None:
        raise InputError("many images are made with new seeds; --seed and --prompt go with --id")
    sys.exit(_reroll_many(_add_choice(request, given), given))


def _add_choice(request: RunRequest, given: Given) -> RunRequest:
    """The request with the images that the options name."""
    from flows.cli_support.id_lists import read_id_list
    from tasks.core.errors import InputError
    from tasks.runs.request import MOST_REROLL_IDS

    names = None if given.ids is None else read_id_list(given.ids)
    if names == []:
        raise InputError(f"{given.ids}: names no image; write a row id, job_id or image file on each line")
    if names is not None and len(names) > MOST_REROLL_IDS:
        raise InputError(
            f"{given.ids}: more than {MOST_REROLL_IDS:,} images; reject them (`imagen pick`), then --rejected"
        )
    changes = {"rejected": given.rejected, "reroll_ids": names, "reroll_where": given.where}
    return request.model_copy(update=changes)


def _reroll_one(request: RunRequest, name: str, given: Given) -> int:
    """Reroll one image, print what became of it, and give the exit status."""
    import asyncio

    from flows.cli_support.run_flow import perform
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.reroll import find_reroll, format_reroll, get_reroll_status, read_reroll
    from tasks.store.output import parse_output

    out = parse_output(request.out)
    reroll, planned = asyncio.run(find_reroll(out, name, seed=given.seed, prompt=given.prompt))
    summary = None
    # The same seed and prompt as before is an image that is there already: it is shown, and nothing is paid.
    if planned.is_to_do:
        summary = perform(request.model_copy(update={"reroll": reroll}), verbose=given.verbose, quiet=given.quiet)
    record = asyncio.run(read_reroll(out, planned.job.job_id))
    if given.json:
        print(dump_json(record))
    elif not given.quiet:
        print(escape_lines("\n".join(format_reroll(record, summary, out))))
    return get_reroll_status(record, summary)


def _reroll_many(request: RunRequest, given: Given) -> int:
    """Reroll them, print the batch's summary, and give the exit status."""
    import asyncio
    import sys

    from rich.console import Console

    from flows.cli_support.run_flow import perform
    from tasks.core.safe_text import dump_json
    from tasks.core.text import format_count
    from tasks.report.summary import get_exit_code
    from tasks.report.summary_screen import print_summary
    from tasks.runs.rerolls import look_for_rerolls
    from tasks.store.output import parse_output

    wanted = asyncio.run(look_for_rerolls(parse_output(request.out), request))
    left_out = {"already_rerolled": wanted.already, "without_image": wanted.without_image}
    if not wanted.rerolls:
        words = f"no image to reroll ({wanted.already} have a reroll already, {wanted.without_image} have no image)"
        print(dump_json({"rerolled": 0, **left_out}) if given.json else words)
        return 0
    if not given.quiet:
        # Before anything is paid: a condition may mean more images than its author thought.
        more = f"; {wanted.already} have a reroll already" if wanted.already else ""
        print(f"rerolling {format_count(len(wanted.rerolls), 'image')}{more}", file=sys.stderr)
    summary = perform(request, verbose=given.verbose, quiet=given.quiet)
    if given.json:
        print(dump_json({**summary, "rerolled": len(wanted.rerolls), **left_out}))
    elif not given.quiet:
        print_summary(Console(), summary)
    return get_exit_code(summary)
