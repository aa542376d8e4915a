"""States of flow runs and task runs. Their names are events that automations act on: `prefect.flow-run.Stopped`.

| flow run | type | when |
| --- | --- | --- |
| Completed | COMPLETED | every job has its image |
| Refused | FAILED | the run came to its end, and what failed was refused by moderation only |
| Failed | FAILED | other jobs failed or are held, or the run could not be carried out |
| Stopped | FAILED | credit, token, budget, error rate, full disk: a person has to act, then it can be resumed |
| Interrupted | CANCELLED | Ctrl-C or SIGTERM, such as a shutdown |
| Cancelled | CANCELLED | somebody cancelled it in Prefect; it is never resumed by itself |

A task run is Refused with the type COMPLETED: the service has given its answer and nothing is broken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from tasks.core.errors import INTERRUPTED_STATUS, BatchStopped, ImagenError, Refused
from tasks.generate.stop import CANCELLED
from tasks.ledger.shard_counts import ShardCounts
from tasks.report.summary import format_summary, get_exit_code

REFUSED, STOPPED, INTERRUPTED = "Refused", "Stopped", "Interrupted"
STOPPED_STATUS = 3  # the exit status of a run that can be resumed

Given = TypeVar("Given")
Record = dict[str, Any]


def end_in_words(
    function: Callable[[Given], Awaitable[State[Record]]],
) -> Callable[[Given], Awaitable[State[Record | ImagenError]]]:
    """Let a flow end with the words of an error that we raise on purpose. Its state's data is the error.

    Raised, it would be a page of traceback in the run's log.
    """

    @wraps(function)
    async def run(given: Given) -> State[Record | ImagenError]:
        try:
            return await function(given)  # type: ignore[return-value]  # a state of less is one of more
        except ImagenError as exc:
            return Failed(name=STOPPED if isinstance(exc, BatchStopped) else "Failed", message=str(exc), data=exc)

    return run


def build_flow_state(record: dict[str, Any]) -> State[dict[str, Any]]:
    """Build the final state of a run from its summary, which is the state's data."""
    message, status = "; ".join(format_summary(record)), get_exit_code(record)
    if status == 0:
        # The summary decides the exit status, and the state has to agree with it.
        return Completed(message=message, data=record)
    if status == INTERRUPTED_STATUS:
        name = "Cancelled" if record["outcome"] == CANCELLED else INTERRUPTED
        return Cancelled(name=name, message=message, data=record)
    if status == STOPPED_STATUS:
        return Failed(name=STOPPED, message=message, data=record)
    # Refused only: the service has given its answer, and another run would meet the same one.
    only_refused = not record["held"] and set(record["errors"]) == {Refused.kind}
    return Failed(name=REFUSED if only_refused else "Failed", message=message, data=record)


def build_shard_state(counts: ShardCounts) -> State[dict[str, int]]:
    """Build the state of a task run from the states of its jobs; its data is their number by state or error kind."""
    data = {"succeeded": counts.succeeded, "open": counts.left_open, **counts.errors}
    # Jobs that were refused by moderation are an answer, not a failure of the shard.
    if counts.errors and set(counts.errors) != {Refused.kind}:
        return Failed(message=counts.describe(), data=data)
    # Left open by a stop, so nothing of it is wrong.
    if counts.left_open:
        return Cancelled(name=STOPPED, message=counts.describe(), data=data)
    return Completed(name=REFUSED if counts.errors else "Completed", message=counts.describe(), data=data)


def fail_run(flow_run: UUID, message: str) -> None:
    """Put Failed in the place of a flow run's last state, whatever that is."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run, Failed(message=message), force=True)
