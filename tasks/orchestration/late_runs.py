"""Scheduled runs that waited while nothing took them: after a downtime the newest one starts first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Scheduled

# Apart by a minute: Prefect starts what is due at once, and one batch at a time is what a machine can do.
APART = timedelta(minutes=1)
# A night each: half a year of a machine that was away.
MOST_RUNS = 200


async def put_newest_first(deployment: UUID, *, now: datetime | None = None) -> int:
    """Let the newest late run of a deployment start now, and the older ones after it, the newer of them first.

    Prefect takes late runs the oldest first, so tonight's images would wait for those of every night that was missed.

    Returns:
        How many runs were put off.
    """
    now = now or datetime.now(UTC)
    async with get_client() as client:
        late = await client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState.model_validate({"type": {"any_": [StateType.SCHEDULED]}}),
                next_scheduled_start_time=FlowRunFilterNextScheduledStartTime.model_validate({"before_": now}),
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=MOST_RUNS,
        )
        later: State[None]
        # The first one is left alone: it is due now, and takes its turn by itself.
        for place, run in enumerate(late[1:], start=1):
            later = Scheduled(scheduled_time=now + place * APART, message="A newer scheduled run goes first.")
            await client.set_flow_run_state(run.id, later, force=True)
    return max(0, len(late) - 1)
