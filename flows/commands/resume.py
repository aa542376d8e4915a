"""`imagen resume`: go on from the ledger alone."""

from __future__ import annotations

from flows.commands import options

NAME = "resume"


def command(
    folder: options.Folder,
    limit: options.Limit = None,
    budget: options.Budget = None,
    concurrency: options.Concurrency = None,
    retry_failed: options.RetryFailed = False,
    retry_held: options.RetryHeld = False,
    runner: options.Runner = None,
    workers: options.Workers = None,
    cluster: options.Cluster = None,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Go on with a batch from its output folder; needs neither the manifest nor the configuration."""
    from flows.commands.execution import execute
    from tasks.run import RunRequest

    request = RunRequest(
        out=folder,
        config=config,
        limit=limit,
        budget_usd=budget,
        concurrency=concurrency,
        retry_failed=retry_failed,
        retry_held=retry_held,
        runner=runner,
        workers=workers,
        cluster=cluster,
    )
    execute(request, json=json, verbose=verbose, quiet=quiet)
