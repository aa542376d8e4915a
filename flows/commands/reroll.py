"""`imagen reroll`: one image once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_support import options
from flows.cli_support.values import in_range

if TYPE_CHECKING:
    from tasks.runs.request import RunRequest

NAME = "reroll"
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
Id = Annotated[str | None, options.ID_OPTION]


def command(
    folder: options.Folder,
    id: Id = None,  # noqa: A002  the option's name
    rejected: Rejected = False,
    seed: Seed = None,
    prompt: Prompt = None,
    budget: options.Budget = None,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Make one image of a batch once more, with another seed or prompt, or all that a review rejects.

    The old image stays, and the batch's budget holds.

    Example: imagen reroll runs/foxes --id fox --prompt "a red fox at night"
    """
    import sys

    from tasks.core.errors import InputError
    from tasks.runs.request import RunRequest

    if (id is None) == (not rejected):
        raise InputError("name one image with --id, or use --rejected for all that a review rejects")
    if id is None:
        if seed is not None or prompt is not None:
            raise InputError("--rejected makes images with new seeds; --seed and --prompt go with --id")
        request = RunRequest(out=folder, config=config, budget_usd=budget, rejected=True)
        sys.exit(_reroll_rejected(request, verbose=verbose, quiet=quiet, json=json))
    request = RunRequest(out=folder, config=config, budget_usd=budget)
    sys.exit(_reroll_one(request, id, seed=seed, prompt=prompt, verbose=verbose, quiet=quiet, json=json))


def _reroll_one(
    request: RunRequest,
    name: str,
    *,
    seed: int | None,
    prompt: str | None,
    verbose: bool,
    quiet: bool,
    json: bool,
) -> int:
    """Reroll one image, print what became of it, and give the exit status."""
    import asyncio

    from flows.cli_support.run_flow import perform
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.reroll import find_reroll, format_reroll, get_reroll_status, read_reroll
    from tasks.store.output import parse_output

    out = parse_output(request.out)
    reroll, planned = asyncio.run(find_reroll(out, name, seed=seed, prompt=prompt))
    summary = None
    # The same seed and prompt as before is an image that is there already: it is shown, and nothing is paid.
    if planned.is_to_do:
        summary = perform(request.model_copy(update={"reroll": reroll}), verbose=verbose, quiet=quiet)
    record = asyncio.run(read_reroll(out, planned.job.job_id))
    if json:
        print(dump_json(record))
    elif not quiet:
        print(escape_lines("\n".join(format_reroll(record, summary, out))))
    return get_reroll_status(record, summary)


def _reroll_rejected(request: RunRequest, *, verbose: bool, quiet: bool, json: bool) -> int:
    """Reroll them, print the batch's summary, and give the exit status."""
    import asyncio

    from rich.console import Console

    from flows.cli_support.run_flow import perform
    from tasks.core.safe_text import dump_json
    from tasks.report.reroll import count_rejected_rerolls
    from tasks.report.summary import get_exit_code
    from tasks.report.summary_screen import print_summary
    from tasks.store.output import parse_output

    if not asyncio.run(count_rejected_rerolls(parse_output(request.out))):
        print(dump_json({"rerolled": 0}) if json else "no rejected image is without a reroll")
        return 0
    summary = perform(request, verbose=verbose, quiet=quiet)
    if json:
        print(dump_json(summary))
    elif not quiet:
        print_summary(Console(), summary)
    return get_exit_code(summary)
