"""`imagen backends`: each configured instance, and what it still needs."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from flows.cli_support import options

Everything = Annotated[bool, typer.Option("--all", help="List the image services that can be used by name.")]
Checked = Annotated[
    str | None,
    typer.Option(
        "--check",
        metavar="NAME",
        help="Ask a backend's service whether its key works. Where that takes an image, its price is told and asked for first.",
    ),
]
Agreed = Annotated[bool, typer.Option("--yes", help="With --check: make and pay for the image without a question.")]


def command(
    everything: Everything = False,
    check: Checked = None,
    yes: Agreed = False,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
) -> None:
    """List the configured backends, and what each one still needs.

    Example: imagen backends --check replicate
    """
    from tasks.backends.listings import format_backends, format_services, list_backends, list_services
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.runs.configuration import choose_config, load_named_settings

    if check is not None:
        _check(check, choose_config(config), agreed=yes, json=json)
    settings = load_named_settings(config)
    listing = list_services(settings) if everything else list_backends(settings)
    lines = format_services(listing) if everything else format_backends(listing)
    print(dump_json(listing) if json else escape_lines("\n".join(lines)))


def _check(name: str, config: str | None, *, agreed: bool, json: bool) -> NoReturn:
    """Check one backend and end the command: 0 if it works."""
    import asyncio
    import sys

    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.report.summary import get_exit_code
    from tasks.runs.backend_check import build_check, check_freely, describe_cost
    from tasks.runs.trial import explain_rest, list_paths, run_trial

    if (told := check_freely(name, config)) is not None:
        print(
            dump_json({"backend": name, "works": True, "told": told, "cost_usd": 0.0}) if json else escape_lines(told)
        )
        sys.exit(0)
    with build_check(name, config) as request:
        price = describe_cost(request)
        if price is not None and not agreed:
            _ask(f"{name} can only be checked by an image, which costs {price}.")
        summary, jobs = asyncio.run(run_trial(request))
    record = summary.as_dict()
    paths = list_paths(jobs)
    # A batch that stopped, as for a key that is refused, leaves no failed job to explain it.
    why = explain_rest(jobs, record["out"]) or [f"{name} does not work: {record['outcome']}"]
    told = f"{name} works: {paths[0]}" if paths else "\n".join(why)
    if json:
        print(dump_json({"backend": name, "works": bool(paths), "told": told, "cost_usd": record["cost_usd"]}))
    else:
        print(escape_lines(told), file=sys.stdout if paths else sys.stderr)
    sys.exit(get_exit_code(record))


def _ask(question: str) -> None:
    """Go on after a yes.

    Raises:
        InputError: Nobody is there to ask, or the answer is no. Nothing was spent.
    """
    import sys

    from tasks.core.errors import InputError

    if not sys.stdin.isatty():
        raise InputError(f"{question} Add --yes to make it")
    if not typer.confirm(f"{question} Make it?", err=True):
        raise InputError("nothing was made, and nothing was spent")
