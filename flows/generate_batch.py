"""The main flow: a manifest becomes images, one Parquet table and usage rows.

The body is the list of steps; each step is one module of `tasks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from tasks.artifacts import report_artifacts
from tasks.generate_shard import generate_open
from tasks.metadata import write_metadata
from tasks.run import RunRequest, check_request, conclude_run, open_run, plan_run
from tasks.settings import RunnerKind
from tasks.signals import INTERRUPTED_STATUS, draining_on_signals
from tasks.summary import Summary, exit_code, summary_lines
from tasks.usage.push import push_usage


def _run_name() -> str:
    parameters = flow_run.parameters
    return f"{parameters['manifest'] or 'resume'} -> {parameters['out']}"


@flow(name="generate-batch", flow_run_name=_run_name, validate_parameters=True)
async def generate_batch(
    out: str,
    *,
    manifest: str | None = None,
    config: str | None = None,
    backend: str | None = None,
    limit: int | None = None,
    budget_usd: float | None = None,
    concurrency: int | None = None,
    salt: str = "",
    retry_failed: bool = False,
    retry_held: bool = False,
    runner: RunnerKind | None = None,
    workers: int | None = None,
    cluster: str | None = None,
) -> State[dict[str, Any]]:
    """Generate what the manifest asks for and `out` does not have yet.

    Args:
        out: Output folder; an existing batch goes on.
        manifest: Path of the manifest; none goes on from the folder's ledger alone.
        config: Path of the configuration; none uses the built-in settings (on a resume: the last run's).
        backend: Instance for rows that name none.
        limit: Only the first so many jobs.
        budget_usd: Hard cap in dollars over the batch's whole life.
        concurrency: Jobs in flight at most, for each backend.
        salt: Another salt gives new pictures for the same manifest.
        retry_failed: Try failed jobs again.
        retry_held: Pay again for jobs that may have been paid for.
        runner: `local` (this process), `dask` or `ray` (worker processes); none: as configured.
        workers: Shards at once on a cluster; none: as many as it has places.
        cluster: Address of a running cluster; none: worker processes of this machine, for the run.

    Returns:
        The state that Prefect shows; its data is the summary.
    """
    request = RunRequest(
        out=Path(out),
        manifest=manifest,
        config=Path(config) if config else None,
        backend=backend,
        limit=limit,
        budget_usd=budget_usd,
        concurrency=concurrency,
        salt=salt,
        retry_failed=retry_failed,
        retry_held=retry_held,
        runner=runner,
        workers=workers,
        cluster=cluster,
    )
    check_request(request)
    async with open_run(request) as run, draining_on_signals(run.batch.stop):
        selection = await plan_run(run)
        await generate_open(run.batch, selection, run=run.number)
        await write_metadata(run.batch.engine, run.batch.out)
        usage = await push_usage(run.batch.engine, run.settings.usage, out=run.batch.out, clock=run.batch.clock)
        summary = await conclude_run(run, usage)
        await report_artifacts(run.batch, summary)
    return _final_state(summary)


def _final_state(summary: Summary) -> State[dict[str, Any]]:
    """What Prefect's automations act on: completed only when every job succeeded."""
    record = summary.as_dict()
    message = "; ".join(summary_lines(record))
    match exit_code(record):
        case 0:
            return Completed(message=message, data=record)
        case status if status == INTERRUPTED_STATUS:
            return Cancelled(message=message, data=record)
        case _:
            return Failed(message=message, data=record)
