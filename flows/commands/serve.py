"""`imagen serve`: manifests on a schedule, in one process that waits for their times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_support import options
from flows.cli_support.fields import take_fields
from flows.cli_support.values import expand_path

Manifest = Annotated[
    str | None,
    typer.Argument(metavar="MANIFEST", help="File of prompts. It is read anew at each run.", callback=expand_path),
]
Cron = Annotated[
    str | None,
    typer.Option("--cron", metavar="LINE", help='Cron line of five fields. "0 2 * * *" is two o\'clock every night.'),
]
TimeZone = Annotated[
    str | None,
    typer.Option("--timezone", metavar="ZONE", help="Time zone of the cron line and of {date}.  [default: UTC]"),
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the deployment. The default is the manifest's name."),
]
Schedules = Annotated[
    Path | None,
    typer.Option(
        "--schedules",
        metavar="FILE",
        help="YAML file of several schedules, instead of the other options.",
        callback=expand_path,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Output folder. {date} is the day of the run. The default is runs/<name>/{date}.",
        callback=expand_path,
    ),
]
Salt = Annotated[
    str | None,
    typer.Option(
        "--salt", metavar="TEXT", help="The default is {date}: new images each night. '' makes only what is new."
    ),
]
WhenBusy = Annotated[
    str | None,
    typer.Option(
        "--when-busy",
        metavar="queue|cancel",
        help="Queue or cancel a run that is due while the last one is busy.  [default: queue]",
    ),
]


OPTION_NAMES = {
    "manifest": "MANIFEST",
    "cron": "--cron",
    "timezone": "--timezone",
    "name": "--name",
    "out": "--out",
    "backend": "--backend",
    "budget_usd": "--budget",
    "concurrency": "--concurrency",
    "salt": "--salt",
    "ignore_columns": "--ignore-columns",
    "prompt_column": "--prompt-column",
    "literal": "--literal",
    "encoding": "--encoding",
    "when_busy": "--when-busy",
    "config": "--config",
}
"""Names by which messages call the fields of a schedule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options of `imagen serve`; those of the schedule bear the names of its fields."""

    manifest: Manifest = None
    cron: Cron = None
    timezone: TimeZone = None
    name: Name = None
    schedules: Schedules = None
    out: Out = None
    backend: options.Backend = None
    budget_usd: options.Budget = None
    concurrency: options.Concurrency = None
    salt: Salt = None
    ignore_columns: options.IgnoreColumns = None
    prompt_column: options.PromptColumn = None
    literal: options.Literal = False
    encoding: options.Encoding = None
    when_busy: WhenBusy = None
    config: options.Config = None
    verbose: options.Verbose = False


@take_fields(ServeOptions)
def command(given: ServeOptions) -> None:
    """Run a manifest on a schedule, until Ctrl-C.

    The schedule stays on the server and goes on with the next `imagen serve`.

    Example: imagen serve prompts.yaml --cron "0 2 * * *" --budget 5
    """
    import os
    import sys

    from flows.cli_support.run_flow import explain_server_errors
    from tasks.core.text import format_command
    from tasks.orchestration.server.connection import (
        ServerHandle,
        find_users_server,
        require_lasting_server,
        set_quiet_defaults,
    )
    from tasks.orchestration.server.loading import load_prefect

    asked = {field: (name, getattr(given, field)) for field, name in OPTION_NAMES.items()}
    _check(given, asked)
    set_quiet_defaults(os.environ)
    # The user's settings decide which server is meant, and reading them must not import Prefect.
    found = find_users_server(os.environ)
    # Only now, because it reads its settings when it is imported.
    load_prefect()
    from tasks.orchestration.schedules import build_schedule, check_schedules, read_schedules

    wanted = [build_schedule(asked)] if given.schedules is None else read_schedules(given.schedules)
    check_schedules(wanted)
    api_url = require_lasting_server(found, again=format_command(*sys.argv[1:]))
    from flows.cli_support.deployments import serve_schedules

    # A login that is wrong or missing is found out by the first call.
    with explain_server_errors(ServerHandle(api_url=api_url)):
        serve_schedules(wanted, api_url)


def _check(given: ServeOptions, asked: Mapping[str, tuple[str, Any]]) -> None:
    from tasks.core.errors import InputError

    # A switch that is off was not said; a budget of 0 was.
    said = [name for name, value in asked.values() if value is not None and value is not False]
    if given.schedules is None and (given.manifest is None or given.cron is None):
        raise InputError("Name a manifest and its --cron, or a file of --schedules.")
    if given.schedules is not None and said:
        raise InputError(f"--schedules takes the place of other options. Leave out {', '.join(said)}.")
