"""Names of states, which automations tell apart."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from tasks.core.errors import BatchStopped, ConfigError
from tasks.ledger.shard_counts import ShardCounts
from tasks.orchestration.states import build_flow_state, build_shard_state, end_in_words

RECORD: dict[str, Any] = defaultdict(
    int, {"total": 5, "succeeded": 5, "images": 5, "errors": {}, "outcome": "completed", "warning": None, "out": "out"}
)
"""A finished run's summary; counts that are not named are 0."""


@pytest.mark.parametrize(
    ("changes", "name", "kind"),
    [
        ({}, "Completed", "COMPLETED"),
        ({"failed": 1, "errors": {"moderation": 1}}, "Refused", "FAILED"),
        ({"failed": 2, "errors": {"moderation": 1, "invalid": 1}}, "Failed", "FAILED"),
        ({"failed": 1, "held": 1, "errors": {"moderation": 1}}, "Failed", "FAILED"),
        ({"planned": 2, "outcome": "stopped: no credit"}, "Stopped", "FAILED"),
        ({"planned": 2, "outcome": "interrupted"}, "Interrupted", "CANCELLED"),
        ({"planned": 2, "outcome": "cancelled"}, "Cancelled", "CANCELLED"),
    ],
)
def test_a_flow_run_is_named_by_what_happened(changes: dict[str, Any], name: str, kind: str) -> None:
    """Some prompts refused, credit gone, a shutdown and somebody's cancelling are four names."""
    record = RECORD | changes
    state = build_flow_state(record)
    assert (state.name, state.type.value, state.data) == (name, kind, record)


@pytest.mark.parametrize(
    ("counts", "name", "kind", "message"),
    [
        ((2, 0, {}), "Completed", "COMPLETED", "2 of 2"),
        ((48, 0, {"moderation": 2}), "Refused", "COMPLETED", "48 of 50; 2 x moderation (flagged)"),
        ((0, 0, {"failed": 1}), "Failed", "FAILED", "0 of 1; 1 x failed (flagged)"),
        ((1, 3, {}), "Stopped", "CANCELLED", "1 of 4; 3 left open"),
        ((1, 1, {"moderation": 1, "invalid": 2}), "Failed", "FAILED", None),
    ],
)
def test_a_task_run_ends_as_its_jobs_did(
    counts: tuple[int, int, dict[str, int]], name: str, kind: str, message: str | None
) -> None:
    """Its message has the numbers, the kinds and the reason."""
    succeeded, left_open, errors = counts
    state = build_shard_state(
        ShardCounts(succeeded=succeeded, left_open=left_open, errors=errors, example="flagged" if errors else None)
    )
    assert (state.name, state.type.value) == (name, kind)
    assert message is None or state.message == message


async def test_an_error_that_is_raised_on_purpose_ends_in_its_words() -> None:
    """The state has the text and the error; what nobody foresaw keeps its traceback."""

    @end_in_words
    async def run(error: Exception) -> State[dict[str, Any]]:
        raise error

    named = [(ConfigError("no such file"), "Failed"), (BatchStopped("credit", "no credit"), "Stopped")]
    states = [(await run(error), error, name) for error, name in named]
    assert [(state.name, state.message, state.data) for state, _, _ in states] == [
        (name, str(error), error) for _, error, name in states
    ]
    with pytest.raises(ZeroDivisionError):
        await run(ZeroDivisionError())
