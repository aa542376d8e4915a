"""Cancelling a run in Prefect: a decision of somebody's, which is told apart from a shutdown and never undone by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterState
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run as this_run
from pydantic import ValidationError

from tasks.generate.stop import CANCELLED
from tasks.ledger.runs import end_run
from tasks.orchestration.states import INTERRUPTED
from tasks.runs.request import RunRequest
from tasks.runs.run import OpenRun
from tasks.store.output.bucket_url import parse_bucket_url

# Seconds. Prefect kills a cancelled run 30 s after its signal, and the answer has to be in the ledger before.
ASK_TIMEOUT_S = 15.0
# The newest runs only: a schedule of years has thousands, and old ones are not resumed anyway.
PAGE_RUNS = 200
RUNNER_ENDS = "Runner is shutting down."
"""Message of the Cancelled state that Prefect's runner gives the runs which end with it (prefect 3.9.1, 2026-11)."""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def heed_cancellation(run: OpenRun) -> AsyncIterator[None]:
    """Record for the duration of the block that a run was cancelled, as soon as its signal arrives.

    Prefect sends the same SIGTERM for a cancelled run and for a shutdown, and SIGKILL half a minute later. The ledger
    says which it was before jobs in flight have landed, because the process may not live to say it afterwards.
    """
    watching = asyncio.create_task(_note_cancellation(run))
    try:
        yield
    finally:
        # Only then may it have been cancelled. A run that comes to its own end has nothing to wait for.
        if run.batch.stop.interrupted:
            await asyncio.wait([watching], timeout=ASK_TIMEOUT_S)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _note_cancellation(run: OpenRun) -> None:
    stop = run.batch.stop
    await stop.wait()
    if not stop.interrupted or not await _is_cancelled():
        return
    stop.cancel()
    await end_run(run.batch.engine, run.number, CANCELLED, now_us=run.batch.clock.now_us())


async def _is_cancelled() -> bool:
    """Ask the server about this run, and about the one that started it as a subflow."""
    try:
        # From the stop on, so that jobs in flight and a server that is away are waited for at once.
        async with asyncio.timeout(ASK_TIMEOUT_S), get_client() as client:
            # A subflow is cancelled through its parent, whose state is the one that changes first.
            for name in {this_run.id, this_run.root_flow_run_id} - {None}:
                state = (await client.read_flow_run(UUID(name))).state
                if state is not None and (state.is_cancelling() or state.is_cancelled()):
                    return True
    except Exception as exc:  # noqa: BLE001  whatever the server says, what is in flight lands
        logger.warning("The server does not say whether the run was cancelled (%s).", str(exc) or type(exc).__name__)
    return False


async def find_cancelled_outputs(flow_name: str) -> dict[str, datetime]:
    """Find the outputs of runs that were cancelled in Prefect, and when the last of each was.

    It covers runs whose process could not say so any more. Prefect keeps flow runs for weeks, the newest come first.

    Args:
        flow_name: Name of the flow that generates batches.
    """
    found: dict[str, datetime] = {}
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState.model_validate({"type": {"any_": [StateType.CANCELLED, StateType.CANCELLING]}})
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=PAGE_RUNS,
        )
    for run in runs:
        if (out := _find_output(run)) is not None and run.state is not None and _was_decided(run.state):
            # A batch may have been cancelled more than once; only the last time counts against a later run.
            found[out] = max(found.get(out, datetime.min.replace(tzinfo=UTC)), run.state.timestamp)
    return found


def _was_decided(state: State[Any]) -> bool:
    """Return False for a run that ended with its machine or with the process that served it."""
    return state.name != INTERRUPTED and state.message != RUNNER_ENDS


def normalize_output(out: str) -> str:
    """Spell an output so that two names of one folder compare equal."""
    # A URL has no working folder to be relative to.
    return out.rstrip("/") if parse_bucket_url(out) else str(Path(out).absolute())


def _find_output(run: FlowRun) -> str | None:
    try:
        request = RunRequest.model_validate(run.parameters)
    except ValidationError:
        return None
    return normalize_output(request.on(run.expected_start_time or datetime.now(UTC)).out)
