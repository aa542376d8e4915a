"""`imagen reroll`: one picture once more."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli_support import options
from flows.cli_support.values import in_range

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


def command(
    folder: options.Folder,
    id: options.Id,  # noqa: A002  the option's name
    seed: Seed = None,
    prompt: Prompt = None,
    budget: options.Budget = None,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Make one image of a batch once more, with another seed or prompt.

    The old image stays, and the batch's budget holds.

    Example: imagen reroll runs/foxes --id fox --prompt "a red fox at night"
    """
    import asyncio
    import sys
    from json import dumps

    from flows.cli_support.run_flow import perform
    from tasks.report.reroll import find_reroll, format_reroll, get_reroll_status, read_reroll
    from tasks.runs.request import RunRequest
    from tasks.store.output import parse_output

    out = parse_output(folder)
    reroll, planned = asyncio.run(find_reroll(out, id, seed=seed, prompt=prompt))
    summary = None
    if planned.is_to_do:
        request = RunRequest(out=folder, config=config, budget_usd=budget, reroll=reroll)
        summary = perform(request, verbose=verbose, quiet=quiet)
    record = asyncio.run(read_reroll(out, planned.job.job_id))
    if json:
        print(dumps(record, ensure_ascii=False))
    elif not quiet:
        print("\n".join(format_reroll(record, summary, out)))
    sys.exit(get_reroll_status(record, summary))
