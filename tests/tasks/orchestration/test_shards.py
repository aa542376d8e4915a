"""Shards as task runs of this process: what breaks in Prefect costs no image, and its server is not asked for each."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from prefect import tags
from prefect.client.schemas.objects import State
from prefect.context import TagsContext
from prefect.states import Failed

from tasks.ledger.open_jobs import Selection
from tasks.orchestration import shards
from tasks.orchestration.shards import generate_open_jobs
from tests.support.factories import make_job, open_batch_with


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The tags of each task run; every one of them breaks as where Prefect's server cannot be reached."""
    found: list[set[str]] = []

    async def broken(*_: Any, **__: Any) -> State[Any]:
        found.append(TagsContext.get().current_tags)
        return Failed(data=ConnectionError("no server"))

    monkeypatch.setattr(shards, "generate_shard", broken)
    return found


async def test_a_task_run_that_breaks_stops_the_batch_resumable(
    out: Path, seen: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop names what broke and is no internal error. Task runs have no tags: each would ask the server for a limit."""
    monkeypatch.setattr(shards, "keep_progress_artifact", lambda *_, **__: nullcontext())
    async with open_batch_with(out, [make_job()]) as batch:
        with tags("imagen"):
            await generate_open_jobs(batch, Selection(), run=1, series="foxes")
        cause = batch.stop.cause
    assert cause is not None
    assert (cause.reason, "no server" in str(cause)) == ("shard", True)
    assert seen == [set()]
