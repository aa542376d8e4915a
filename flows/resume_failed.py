"""A flow that resumes the batches under a folder that were stopped or killed; made to be scheduled."""

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
from tasks.runs.unfinished import UNREADABLE, ResumeRule, find_unfinished_batches

MOST_HOURS = 87_600
"""Ten years. Times far beyond are no dates any more."""


@flow(name="resume-failed", flow_run_name="resume-failed {folder}", validate_parameters=True)
async def resume_failed(
    folder: str,
    *,
    tries: Annotated[int, Field(ge=1)] = 3,
    within_hours: Annotated[float, Field(gt=0, le=MOST_HOURS)] = 48,
    interrupted: bool = False,
) -> State[dict[str, Any]]:
    """Resume, one after the other, batches whose last run was stopped or killed, each within its own budget.

    Args:
        folder: An output folder, or one above output folders; or the URL of such a place in a bucket.
        tries: A batch that was resumed this many times is left to people.
        within_hours: Only batches whose last run began in the last so many hours.
        interrupted: Also batches that were interrupted: Ctrl-C, or the machine shut down. Never cancelled ones.

    Returns:
        Completed when nothing was left to do or all of it succeeded, Failed also where a ledger cannot be read from
        here. Its data says for each batch how it ended.
    """
    # Rules and not states: a machine that lost its power has told Prefect nothing.
    rule = ResumeRule(tries=tries, within=timedelta(hours=within_hours), interrupted=interrupted)
    ends: dict[str, str] = {}
    states: list[State[Any]] = []
    unreadable = False
    cancelled = await find_cancelled_outputs(generate_batch.name)
    # The list first: resuming changes what is unfinished, and a generator would follow the change.
    for batch in [batch async for batch in find_unfinished_batches(folder, rule, now_us=Clock().now_us())]:
        decided_at = cancelled.get(normalize_output(batch.out))
        is_cancelled = decided_at is not None and decided_at >= batch.began_at
        # Left alone on purpose, and said so: a silence here would look like success.
        if reason := "cancelled in Prefect" if is_cancelled else batch.left_alone:
            ends[batch.out] = f"left alone: {reason}"
            unreadable |= not is_cancelled and batch.why == UNREADABLE
            continue
        states.append(await generate_batch(**RunRequest(out=batch.out).parameters(), return_state=True))
        ends[batch.out] = f"{states[-1].name}: {states[-1].message}"
        # A cancelled resume stops the loop: whoever cancelled it meant all of it.
        if states[-1].is_cancelled():
            break
    return _build_final_state(states, ends, unreadable=unreadable)


def _build_final_state(states: list[State[Any]], ends: dict[str, str], *, unreadable: bool) -> State[dict[str, Any]]:
    message = "; ".join(f"{out}: {end}" for out, end in ends.items()) or "no batch to resume"
    if any(state.is_cancelled() for state in states):
        return Cancelled(message=message, data=ends)
    done = not unreadable and all(state.is_completed() for state in states)
    return (Completed if done else Failed)(message=message, data=ends)
