"""`imagen resume`: go on from the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from os import environ
from typing import Annotated

import typer

from flows.cli_support import completion, options
from flows.cli_support.fields import select_fields, take_fields
from flows.cli_support.values import expand_path

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeOptions:
    """Options of `imagen resume`; those of the run itself bear the names of its request."""

    folder: Folder = None
    flow_run: FlowRun = None
    limit: options.Limit = None
    budget_usd: options.Budget = None
    concurrency: options.Concurrency = None
    priority: options.Priority = None
    retry_failed: options.RetryFailed = False
    retry_held: options.RetryHeld = False
    missing: options.Missing = False
    reread: options.Reread = False
    reuse: options.Reuse = None
    reuse_any_salt: options.ReuseAnySalt = False
    trust_ledger: options.TrustLedger = False
    only: options.Only = None
    backend: options.OtherBackend = None
    keep_best: options.KeepBest = None
    keep_by: options.KeepBy = None
    reject: options.Reject = None
    rerolls: options.Rerolls = None
    runner: options.Runner = None
    workers: options.Workers = None
    cluster: options.Cluster = None
    json: options.Json = False
    config: options.Config = None
    verbose: options.Verbose = False
    quiet: options.Quiet = False


@take_fields(ResumeOptions)
def command(given: ResumeOptions) -> None:
    """Go on with a batch that was stopped or killed.

    It needs the output folder only, neither the manifest nor the configuration.

    Example: imagen resume runs/foxes --retry-failed
    """
    from flows.cli_support.run_flow import execute, find_flow_run_output
    from tasks.core.configuration.trust import TRUST_VARIABLE
    from tasks.core.errors import InputError
    from tasks.runs.request import RunRequest

    if given.trust_ledger:
        # Runs and worker processes that start from here have to trust the ledger too, and they get the environment.
        environ[TRUST_VARIABLE] = "true"
    if (given.folder is None) == (given.flow_run is None):
        raise InputError("name the output folder of a batch, or the --flow-run that wrote to it")
    out = given.folder
    if out is None:
        out = find_flow_run_output(given.flow_run or "", verbose=given.verbose)
    request = RunRequest(**{**select_fields(given, RunRequest.model_fields), "out": out})
    execute(request, json=given.json, verbose=given.verbose, quiet=given.quiet)
