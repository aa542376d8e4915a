"""Schedules as Prefect has them: deployments that this process serves."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from uuid import UUID

from prefect import get_client, serve
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.generate_batch import generate_batch
from tasks.errors import ImagenError
from tasks.schedules import Schedule

SCHEDULER_PATIENCE_S = 60.0
"""Prefect's scheduler looks for new deployments every 5 s, unless it is told otherwise."""
LOOK_S = 1.0
TAGS = ["imagen", "nightly"]


def serve_schedules(schedules: list[Schedule], api_url: str) -> None:
    """Serve the schedules until Ctrl-C or SIGTERM; they stay on the server, and are not paused.

    Raises:
        ImagenError: The server makes no runs of a schedule. Nothing was spent.
    """
    deployments = [_deployment(schedule) for schedule in schedules]
    starts = asyncio.run(_first_starts(deployments))
    lines = [f"serving on {api_url}; Ctrl-C ends it"]
    for schedule, start in zip(schedules, starts, strict=True):
        lines += [
            f"  {schedule.line()}",
            f"    next: {start:%Y-%m-%d %H:%M %Z}; now: prefect deployment run '{generate_batch.name}/{schedule.name}'",
        ]
    sys.stderr.write("\n".join([*lines, "While this does not run, no night does; its schedules stay.", ""]))
    serve(*deployments, pause_on_shutdown=False, print_starting_message=False)


def _deployment(schedule: Schedule) -> RunnerDeployment:
    return RunnerDeployment.from_flow(
        generate_batch,
        name=schedule.name,
        schedule=Cron(schedule.cron, timezone=schedule.timezone),
        parameters=schedule.request().parameters(),
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        tags=TAGS,
        # By its name, not by a path: it is found wherever imagen is installed.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


async def _first_starts(deployments: list[RunnerDeployment]) -> list[datetime]:
    """When each of them runs next; a server without a working scheduler is found out here, and not tomorrow."""
    ids = [await deployment.aapply() for deployment in deployments]
    return list(await asyncio.gather(*map(_first_start, ids)))


async def _first_start(deployment: UUID) -> datetime:
    now = datetime.now(UTC)
    async with get_client() as client:
        for _ in range(int(SCHEDULER_PATIENCE_S / LOOK_S)):
            runs = await client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
                flow_run_filter=FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(after_=now)),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=1,
            )
            if runs and runs[0].expected_start_time is not None:
                return runs[0].expected_start_time
            await asyncio.sleep(LOOK_S)
    raise ImagenError(
        f"the Prefect server at {client.api_url} schedules nothing (waited {SCHEDULER_PATIENCE_S:.0f} s): "
        "its scheduler is off or fails. `imagen server` runs one that works."
    )
