"""`imagen resume`: go on from the ledger alone."""

from __future__ import annotations

from os import environ
from typing import Annotated

import typer

from flows.cli_support import completion, options
from flows.cli_support.values import expand_path

NAME = "resume"

Folder = Annotated[
    str | None,
    typer.Argument(
        metavar="DIR",
        help="Output folder of a batch, or its URL in a bucket.",
        autocompletion=completion.complete_batches,
        callback=expand_path,
    ),
]
FlowRun = Annotated[
    str | None,
    typer.Option("--flow-run", metavar="ID", help="Resume the folder that this Prefect flow run wrote to."),
]


def command(
    folder: Folder = None,
    flow_run: FlowRun = None,
    limit: options.Limit = None,
    budget: options.Budget = None,
    concurrency: options.Concurrency = None,
    retry_failed: options.RetryFailed = False,
    retry_held: options.RetryHeld = False,
    missing: options.Missing = False,
    reread: options.Reread = False,
    trust_ledger: options.TrustLedger = False,
    only: options.Only = None,
    backend: options.OtherBackend = None,
    runner: options.Runner = None,
    workers: options.Workers = None,
    cluster: options.Cluster = None,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Go on with a batch that was stopped or killed.

    It needs the output folder only, neither the manifest nor the configuration.

    Example: imagen resume runs/foxes --retry-failed
    """
    from flows.cli_support.run_flow import execute, find_flow_run_output
    from tasks.core.errors import InputError
    from tasks.core.trust import TRUST_VARIABLE
    from tasks.runs.request import RunRequest

    if trust_ledger:
        environ[TRUST_VARIABLE] = "true"
    if (folder is None) == (flow_run is None):
        raise InputError("name the output folder of a batch, or the --flow-run that wrote to it")
    request = RunRequest(
        out=folder if folder is not None else find_flow_run_output(flow_run or "", verbose=verbose),
        config=config,
        limit=limit,
        budget_usd=budget,
        concurrency=concurrency,
        retry_failed=retry_failed,
        retry_held=retry_held,
        missing=missing,
        reread=reread,
        only=only,
        backend=backend,
        runner=runner,
        workers=workers,
        cluster=cluster,
    )
    execute(request, json=json, verbose=verbose, quiet=quiet)
