"""`imagen try`: one prompt, without a manifest and without Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from flows.cli_support import options
from flows.cli_support.fields import take_fields
from flows.cli_support.values import expand_path, in_range

MOST_SAMPLES = 1_000

Words = Annotated[list[str], typer.Argument(metavar="PROMPT", help="The prompt, in quotes.")]
Samples = Annotated[
    int, typer.Option("--samples", metavar="N", help="Number of images.", callback=in_range(1, MOST_SAMPLES))
]
TrialOut = Annotated[
    str | None,
    typer.Option("--out", metavar="DIR", help="Output folder. The default is runs/try/<prompt>.", callback=expand_path),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TryOptions:
    """Options of `imagen try`."""

    prompt: Words
    out: TrialOut = None
    backend: options.Backend = None
    budget: options.Budget = None
    samples: Samples = 1
    json: options.Json = False
    config: options.Config = None
    verbose: options.Verbose = False
    quiet: options.Quiet = False


@take_fields(TryOptions)
def command(given: TryOptions) -> None:
    """Make an image of one prompt and print its path.

    It needs no manifest and no server, and keeps the same ledger, budget and usage row as a run. The same prompt again finds its image and costs nothing.

    Example: imagen try "a red fox in the snow" --samples 2
    """
    import asyncio
    import sys

    from flows.cli_support.screen import print_stop, show_progress
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.summary import format_summary, get_exit_code
    from tasks.runs.configuration import choose_config
    from tasks.runs.trial import build_trial, choose_trial_out, explain_rest, list_paths, run_trial

    text = _read_prompt(given.prompt)
    out, config = given.out or choose_trial_out(text), choose_config(given.config)
    # One prompt is a batch of its own, with a ledger and a budget: nothing here bypasses the checks of a run.
    trial = build_trial(
        text, samples=given.samples, budget_usd=given.budget, out=out, config=config, backend=given.backend
    )
    with trial as request, show_progress(quiet=given.quiet):
        summary, jobs = asyncio.run(run_trial(request))
    record, paths = summary.as_dict(), list_paths(jobs)
    if given.json:
        print(dump_json({**record, "paths": paths}))
    elif paths:
        print(escape_lines("\n".join(paths)))
    if not given.quiet:
        rest = [] if len(paths) == len(jobs) else explain_rest(jobs, record["out"]) or format_summary(record)
        warnings = [f"warning: {record['warning']}"] if record["warning"] else []
        for line in dict.fromkeys([*rest, *warnings]):
            print(escape_lines(line), file=sys.stderr)
    elif not given.json and len(paths) < given.samples:
        print_stop(record)
    sys.exit(get_exit_code(record) if len(paths) < given.samples else 0)


def _read_prompt(words: list[str]) -> str:
    from tasks.core.errors import InputError
    from tasks.core.text import format_command
    from tasks.manifest.lines import is_visible

    # A shell without quotes gives a word each, and a prompt of one word would be made instead.
    if len(words) > 1:
        raise InputError(f"Put the prompt in quotes: {format_command('try', ' '.join(words))}")
    [text] = words
    # Where other programs read standard input, and `imagen run` too: it would be paid for as a picture of a dash.
    if text.strip() == "-":
        raise InputError(
            'PROMPT is "-", and standard input is not read here. Write it as an argument: imagen try "$(cat prompt.txt)"'
        )
    if not is_visible(text):
        raise InputError('PROMPT is empty. Write what the image shows: imagen try "a red fox"')
    return text
