"""A flow that goes on with the batches under a folder that were stopped or killed; fit to be scheduled."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows.generate_batch import generate_batch
from tasks.core.clock import Clock
from tasks.orchestration.cancellation import find_cancelled_outputs, normalize_output
from tasks.runs.request import RunRequest
from tasks.runs.unfinished import ResumeRule, find_unfinished_batches


@flow(name="resume-failed", flow_run_name="resume-failed {folder}", validate_parameters=True)
async def resume_failed(
    folder: str,
    *,
    tries: Annotated[int, Field(ge=1)] = 3,
    within_hours: Annotated[float, Field(gt=0)] = 48,
    interrupted: bool = False,
) -> State[dict[str, Any]]:
    """Go on, one after the other, with batches whose last run was stopped or killed, each within its own budget.

    Args:
        folder: An output folder, or one above output folders.
        tries: A batch that was gone on with so often is left to people.
        within_hours: Only batches whose last run began in the last so many hours.
        interrupted: Also batches that were interrupted: Ctrl-C, or the machine shut down. Never cancelled ones.

    Returns:
        Completed when nothing was left to do or all of it succeeded; its data says for each batch how it ended.
    """
    rule = ResumeRule(tries=tries, within=timedelta(hours=within_hours), interrupted=interrupted)
    ends: dict[str, str] = {}
    states: list[State[Any]] = []
    cancelled = await find_cancelled_outputs(generate_batch.name)
    # Found before the first of them is resumed, which changes what is there.
    for batch in [batch async for batch in find_unfinished_batches(folder, rule, now_us=Clock().now_us())]:
        decided_at = cancelled.get(normalize_output(batch.out))
        if decided_at is not None and decided_at >= batch.began_at:
            ends[batch.out] = "left alone: cancelled in Prefect"
            continue
        if batch.left_alone:
            ends[batch.out] = f"left alone: {batch.left_alone}"
            continue
        states.append(await generate_batch(**RunRequest(out=batch.out).parameters(), return_state=True))
        ends[batch.out] = f"{states[-1].name}: {states[-1].message}"
        if states[-1].is_cancelled():
            break
    return _build_final_state(states, ends)


def _build_final_state(states: list[State[Any]], ends: dict[str, str]) -> State[dict[str, Any]]:
    message = "; ".join(f"{out}: {end}" for out, end in ends.items()) or "nothing to go on with"
    if any(state.is_cancelled() for state in states):
        return Cancelled(message=message, data=ends)
    return (Completed if all(state.is_completed() for state in states) else Failed)(message=message, data=ends)
