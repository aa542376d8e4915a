"""Schedules as Prefect has them: deployments that this process serves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow, get_client
from prefect.client.schemas.actions import DeploymentUpdate
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

import flows
import tasks
from flows.generate_batch import generate_batch
from flows.resume_failed import resume_failed
from tasks.core.errors import ConfigError, ImagenError
from tasks.core.installation import get_version
from tasks.generate.signals import SIGNALS
from tasks.orchestration.late_runs import put_newest_first
from tasks.orchestration.pauses import Pause, find_same_output, read_pause
from tasks.orchestration.schedules import Schedule

SCHEDULER_PATIENCE_S = 60.0
"""Prefect's scheduler looks for new deployments every 5 s, unless it is told otherwise."""
# Seconds between two looks; a schedule shows up within the scheduler's own five.
LOOK_S = 1.0
ENTRYPOINT = Path(flows.__file__).with_name("served") / "entrypoint.py"
STRATEGIES = {"queue": ConcurrencyLimitStrategy.ENQUEUE, "cancel": ConcurrencyLimitStrategy.CANCEL_NEW}
# Every quarter of an hour: a night that failed is resumed within it, and an idle look costs one call.
RESUME_CRON = "*/15 * * * *"
NIGHT_TAGS, UPKEEP_TAGS = ["imagen", "nightly"], ["imagen", "upkeep"]


def serve_schedules(schedules: list[Schedule], api_url: str) -> None:
    """Serve the schedules until Ctrl-C or SIGTERM; they stay on the server, and are not paused.

    Raises:
        ImagenError: The server makes no runs of a schedule. Nothing was spent.
    """
    asyncio.run(_serve(schedules, api_url))


def require_own_packages(environ: Mapping[str, str]) -> None:
    """Check that a run started from here finds our packages and no others of their names.

    Raises:
        ConfigError: `PYTHONPATH` or the environment puts another `flows` or `tasks` before ours. Nothing was started.
    """
    # Asked of a new interpreter, as Prefect will start one: only there is it seen what the path really finds.
    code = "import flows, tasks; print(flows.__file__, tasks.__file__, sep='\\n')"
    found = subprocess.run([sys.executable, "-c", f"{code}"], env=environ, capture_output=True, text=True, check=False)  # noqa: S603  our own interpreter
    ours = [flows.__file__, tasks.__file__]
    if found.stdout.split("\n")[:2] != ours:
        other = found.stdout.strip().replace("\n", ", ") or found.stderr.strip().rpartition("\n")[2]
        raise ConfigError(
            f"scheduled runs would not find imagen's packages `flows` and `tasks` but: {other}. "
            "Take the folder with packages of these names out of PYTHONPATH"
        )


async def _serve(schedules: list[Schedule], api_url: str) -> None:
    # Runs are `python -m prefect.engine`: without this, any module where the user works may hide one that they need.
    os.environ["PYTHONSAFEPATH"] = "1"
    require_own_packages(os.environ)
    # A pause is an operator's decision; Prefect would set it by itself whenever this process ends.
    runner = Runner(pause_on_shutdown=False)
    served = [await _add(runner, schedule) for schedule in schedules]
    for schedule in schedules:
        await _register(runner, await _build_resumer(schedule))
    # Asked for all at once: each waits for the scheduler, and one after the other would take minutes.
    starts = await asyncio.gather(*(_find_first_start(deployment, pause) for deployment, pause in served))
    sys.stderr.write("\n".join(_format_lines(schedules, starts, api_url)) + "\n")
    for deployment, _ in served:
        await put_newest_first(deployment)
    await _serve_until_told(runner)


async def _add(runner: Runner, schedule: Schedule) -> tuple[UUID, Pause]:
    """Add a deployment, and return it with the pause that it had before, perhaps under another name."""
    pause = await read_pause(f"{generate_batch.name}/{schedule.name}", cron=schedule.cron)
    for line in pause.replaced:
        sys.stderr.write(f"{schedule.name}: its schedule on the server was {line!r} and is {schedule.cron!r} now\n")
    for other, paused in (await find_same_output(generate_batch.name, schedule.name, schedule.out)).items():
        sys.stderr.write(f"{other} writes into {schedule.out} too; end it: prefect deployment delete {other!r}\n")
        if not pause.exists:  # a new name is no decision to start again
            pause = replace(pause, deployment=pause.deployment or paused.is_on)
    return await _register(runner, _build_nightly(schedule, pause)), pause


async def _register(runner: Runner, deployment: RunnerDeployment) -> UUID:
    added = await runner.aadd_deployment(deployment)
    async with get_client() as client:
        known = await client.read_deployment(added)
        # A misspelt parameter is refused in the form and by the API; Prefect would start a run that cannot begin.
        schema = {**(known.parameter_openapi_schema or {}), "additionalProperties": False}
        # Prefect keeps the path that a deployment was created with, and copies files from it where it is another folder.
        await client.update_deployment(added, DeploymentUpdate(path=".", parameter_openapi_schema=schema))
    return added


async def _serve_until_told(runner: Runner) -> None:
    """Take runs as they become due; told to end, let what is in flight land. Prefect's own `serve` would kill it."""
    serving = asyncio.create_task(runner.start())
    await asyncio.sleep(0)  # it sets handlers of its own first
    # Prefect's runner sets handlers of its own when it starts, and these have to be the last.
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if told.is_set():
        sys.stderr.write("ending; a run that is busy gets 30 s to let its images land\n")
        await runner.astop()
    await serving


def _format_lines(schedules: list[Schedule], starts: list[datetime | None], api_url: str) -> list[str]:
    lines = [f"serving on {api_url}; Ctrl-C ends it"]
    for schedule, start in zip(schedules, starts, strict=True):
        name = f"{generate_batch.name}/{schedule.name}"
        if start is None:
            when = f"paused, and stays so; resume it in Prefect's pages or with: prefect deployment resume '{name}'"
        else:
            when = f"next: {start:%Y-%m-%d %H:%M %Z}"
        lines += [f"  {schedule.line()}", f"    {when}; now: prefect deployment run '{name}'"]
    return [*lines, "Scheduled runs start only while this process runs. The schedules stay on the server."]


def _build_nightly(schedule: Schedule, pause: Pause) -> RunnerDeployment:
    """Build the deployment of a manifest. A run that comes while the last one is busy waits, unless asked otherwise."""
    return _build_deployment(
        generate_batch,
        schedule.name,
        Cron(schedule.cron, timezone=schedule.timezone, active=not pause.schedule),
        schedule.request().parameters(),
        # Kept as it was: deploying again would start what an operator has paused.
        paused=pause.deployment,
        strategy=STRATEGIES[schedule.when_busy],
        tags=NIGHT_TAGS,
    )


async def _build_resumer(schedule: Schedule) -> RunnerDeployment:
    """Build the deployment that resumes runs which were stopped or killed, or were ended together with this process."""
    pause = await read_pause(f"{resume_failed.name}/{schedule.name}")
    return _build_deployment(
        resume_failed,
        schedule.name,
        Cron(RESUME_CRON, active=not pause.schedule),
        {"folder": str(schedule.folder), "interrupted": True},
        paused=pause.deployment,
        # The next look comes in a quarter of an hour: none has to wait for this one.
        strategy=ConcurrencyLimitStrategy.CANCEL_NEW,
        tags=UPKEEP_TAGS,
    )


def _build_deployment(
    flow: Flow[..., Any],
    name: str,
    schedule: Times,
    parameters: dict[str, Any],
    *,
    paused: bool,
    strategy: ConcurrencyLimitStrategy,
    tags: list[str],
) -> RunnerDeployment:
    deployment = RunnerDeployment.from_flow(
        flow,
        name=name,
        schedule=schedule,
        paused=paused,
        parameters=parameters,
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=strategy),
        tags=tags,
        version=get_version(),
        entrypoint_type=EntrypointType.FILE_PATH,
    )
    # Written anew at each start, so it is that of the installation which serves.
    # By path and not by module: Prefect would import `flows` from the working folder.
    deployment.entrypoint = f"{ENTRYPOINT}:{flow.fn.__name__}"
    return deployment


async def _find_first_start(deployment: UUID, pause: Pause) -> datetime | None:
    """Find when it runs next; None where it is paused. A server without a working scheduler is found out here."""
    if pause.is_on:
        return None
    now = datetime.now(UTC)
    async with get_client() as client:
        # Looked for until it is there: a server without a scheduler would serve for ever and start nothing.
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
