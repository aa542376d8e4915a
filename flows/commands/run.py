"""`imagen run`: plan, generate, write, push. The same output folder again goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass

from flows.cli_support import options
from flows.cli_support.fields import select_fields, take_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of `imagen run`; those of the run itself bear the names of its request."""

    manifest: options.Manifest
    out: options.Out = None
    backend: options.Backend = None
    limit: options.Limit = None
    budget_usd: options.Budget = None
    concurrency: options.Concurrency = None
    priority: options.Priority = None
    salt: options.Salt = ""
    retry_failed: options.RetryFailed = False
    retry_held: options.RetryHeld = False
    replace: options.Replace = False
    reuse: options.Reuse = None
    reuse_any_salt: options.ReuseAnySalt = False
    ignore_columns: options.IgnoreColumns = None
    prompt_column: options.PromptColumn = None
    literal: options.Literal = False
    encoding: options.Encoding = None
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


@take_fields(RunOptions)
def command(given: RunOptions) -> None:
    """Generate the images of a manifest.

    With the same --out again it goes on where it was, and pays for nothing twice.

    Example: imagen run prompts.yaml --out runs/foxes --budget 5
    """
    from flows.cli_support.run_flow import execute
    from flows.cli_support.values import choose_out
    from tasks.manifest import open_manifest
    from tasks.manifest.reading import build_read_options
    from tasks.runs.configuration import choose_config
    from tasks.runs.request import RunRequest

    with open_manifest(given.manifest, options=build_read_options({}, encoding=given.encoding)) as opened:
        chosen = {
            # Standard input can be read once, so the flow gets the file that it was put into.
            "manifest": opened.source,
            "out": given.out or choose_out(opened),
            "config": choose_config(given.config),
        }
        request = RunRequest(**{**select_fields(given, RunRequest.model_fields), **chosen})
        execute(request, json=given.json, verbose=given.verbose, quiet=given.quiet)
