"""Schedules as Prefect has them: deployments that this process serves."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import Flow, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Cron
from prefect.schedules import Schedule as Times
from prefect.types.entrypoint import EntrypointType

from flows.generate_batch import generate_batch
from flows.resume_failed import resume_failed
from tasks.core.errors import ImagenError
from tasks.generate.signals import SIGNALS
from tasks.orchestration.schedules import Schedule

SCHEDULER_PATIENCE_S = 60.0
"""Prefect's scheduler looks for new deployments every 5 s, unless it is told otherwise."""
LOOK_S = 1.0
RESUME_CRON = "*/15 * * * *"
TAGS = ["imagen", "nightly"]


def serve_schedules(schedules: list[Schedule], api_url: str) -> None:
    """Serve the schedules until Ctrl-C or SIGTERM; they stay on the server, and are not paused.

    Raises:
        ImagenError: The server makes no runs of a schedule. Nothing was spent.
    """
    asyncio.run(_serve(schedules, api_url))


async def _serve(schedules: list[Schedule], api_url: str) -> None:
    runner = Runner(pause_on_shutdown=False)
    ids = [await runner.aadd_deployment(_build_nightly(schedule)) for schedule in schedules]
    for schedule in schedules:
        await runner.aadd_deployment(_build_resumer(schedule))
    starts = await asyncio.gather(*map(_find_first_start, ids))
    sys.stderr.write("\n".join(_format_lines(schedules, starts, api_url)) + "\n")
    await _serve_until_told(runner)


async def _serve_until_told(runner: Runner) -> None:
    """Take runs as they become due; told to end, let what is in flight land. Prefect's own `serve` would kill it."""
    serving = asyncio.create_task(runner.start())
    await asyncio.sleep(0)  # it sets handlers of its own first
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if told.is_set():
        sys.stderr.write("ending; a run that is busy gets 30 s to let its pictures land\n")
        await runner.astop()
    await serving


def _format_lines(schedules: list[Schedule], starts: list[datetime], api_url: str) -> list[str]:
    lines = [f"serving on {api_url}; Ctrl-C ends it"]
    for schedule, start in zip(schedules, starts, strict=True):
        lines += [
            f"  {schedule.line()}",
            f"    next: {start:%Y-%m-%d %H:%M %Z}; now: prefect deployment run '{generate_batch.name}/{schedule.name}'",
        ]
    return [*lines, "While this does not run, no night does; its schedules stay."]


def _build_nightly(schedule: Schedule) -> RunnerDeployment:
    return _build_deployment(
        generate_batch,
        schedule.name,
        Cron(schedule.cron, timezone=schedule.timezone),
        schedule.request().parameters(),
    )


def _build_resumer(schedule: Schedule) -> RunnerDeployment:
    """A night that was stopped or killed comes back by itself, or after this process was ended and started again."""
    parameters = {"folder": str(schedule.folder), "interrupted": True}
    return _build_deployment(resume_failed, schedule.name, Cron(RESUME_CRON), parameters)


def _build_deployment(flow: Flow[..., Any], name: str, schedule: Times, parameters: dict[str, Any]) -> RunnerDeployment:
    return RunnerDeployment.from_flow(
        flow,
        name=name,
        schedule=schedule,
        parameters=parameters,
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        tags=TAGS,
        # By its name, not by a path: it is found wherever imagen is installed.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


async def _find_first_start(deployment: UUID) -> datetime:
    """When it runs next; a server without a working scheduler is found out here, and not tomorrow."""
    now = datetime.now(UTC)
    async with get_client() as client:
        for _ in range(int(SCHEDULER_PATIENCE_S / LOOK_S)):
            runs = await client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
                flow_run_filter=FlowRunFilter(
                    expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"after_": now})
                ),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=1,
            )
            if runs and runs[0].expected_start_time is not None:
                return runs[0].expected_start_time
            await asyncio.sleep(LOOK_S)
    raise ImagenError(
        f"the Prefect server at {client.api_url} schedules nothing (waited {SCHEDULER_PATIENCE_S:.0f} s): "
        "its scheduler is off or fails. `prefect server start` runs one."
    )
