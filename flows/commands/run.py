"""`imagen run`: plan, generate, write, push. The same output folder again goes on where it was."""

from __future__ import annotations

from flows.cli_support import options

NAME = "run"


def command(
    manifest: options.Manifest,
    out: options.Out = None,
    backend: options.Backend = None,
    limit: options.Limit = None,
    budget: options.Budget = None,
    concurrency: options.Concurrency = None,
    salt: options.Salt = "",
    retry_failed: options.RetryFailed = False,
    retry_held: options.RetryHeld = False,
    replace: options.Replace = False,
    ignore_columns: options.IgnoreColumns = None,
    prompt_column: options.PromptColumn = None,
    literal: options.Literal = False,
    encoding: options.Encoding = None,
    runner: options.Runner = None,
    workers: options.Workers = None,
    cluster: options.Cluster = None,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate the images of a manifest.

    With the same --out again it goes on where it was, and pays for nothing twice.

    Example: imagen run prompts.yaml --out runs/foxes --budget 5
    """
    from flows.cli_support.default_out import choose_out
    from flows.cli_support.run_flow import execute
    from tasks.core.paths import locate_config
    from tasks.manifest import ReadOptions, open_manifest
    from tasks.runs.request import RunRequest

    with open_manifest(manifest, options=ReadOptions(encoding=encoding)) as opened:
        request = RunRequest(
            # Standard input can be read once, so the flow gets the file that it was put into.
            manifest=opened.source,
            out=out or choose_out(opened),
            config=locate_config(config),
            backend=backend,
            limit=limit,
            budget_usd=budget,
            concurrency=concurrency,
            salt=salt,
            retry_failed=retry_failed,
            retry_held=retry_held,
            replace=replace,
            ignore_columns=ignore_columns,
            prompt_column=prompt_column,
            literal=literal,
            encoding=encoding,
            runner=runner,
            workers=workers,
            cluster=cluster,
        )
        execute(request, json=json, verbose=verbose, quiet=quiet)
