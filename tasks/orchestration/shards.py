"""Step 4 as Prefect sees it: one task run works through one shard of the batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import ceil

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TagsContext

from tasks.core.errors import BatchStopped, ImagenError
from tasks.core.safe_text import error_text
from tasks.generate.batch import Batch, get_current_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.open_jobs import Selection, Shard, count_open
from tasks.ledger.shard_counts import count_shard
from tasks.orchestration.artifacts import keep_progress_artifact
from tasks.orchestration.shard_window import MOST_TASK_RUNS, run_backends
from tasks.orchestration.states import build_shard_state
from tasks.report.progress import show_progress

MOST_SINGLE_JOB_SHARDS = 200
"""Up to so many jobs each is a task run of its own, so that the UI shows every prompt by name."""
SMALLEST_LARGE_SHARD = 50


@task(task_run_name="{label}", cache_policy=NO_CACHE)
async def generate_shard(
    label: str,  # noqa: ARG001  it names the run
    first: int,
    last: int,
    planned_run: int | None,
    backend: str | None,
) -> State[dict[str, int]]:
    """Generate the open jobs between two sort keys of the current batch.

    Prefect never retries it: what may be paid again is decided job by job, in `tasks.generate.decisions`.

    Args:
        label: The name that the run carries in the UI.
        first: Sort key of the shard's first job.
        last: Sort key of the shard's last job.
        planned_run: Only jobs that this run has planned; None: all.
        backend: Only jobs of this backend; None: all.

    Returns:
        The state of the task run; its data is the number of jobs by their end.
    """
    batch = get_current_batch()
    await generate_range(batch, first, last, planned_run, backend)
    counts = await count_shard(batch.engine, first, last, planned_run=planned_run, backend=backend)
    return build_shard_state(counts)


async def generate_open_jobs(batch: Batch, selection: Selection, *, run: int, series: str) -> None:
    """Run the selected open jobs as task runs, in this event loop or on the cluster that the settings name.

    Returns when every one of them has ended, or the batch was stopped and what was in flight has landed.

    Args:
        batch: The open batch.
        selection: The open jobs that are meant.
        run: The run's number.
        series: Name of the deployment or manifest, which artifacts are kept under.
    """
    left = 0 if batch.stop.requested else await count_open(batch.engine, selection)
    if not left:
        return
    # Jobs that ended before this count as well; rerolls of images that land meanwhile join them at the end.
    shown = left + batch.tally.done
    # With a tag, Prefect asks its server for a limit of that tag before each task run: a call more for each shard, and
    # none begins while the server is away. The flow run has them, and that is what people filter by.
    untagged = TagsContext(current_tags=set())
    async with show_progress(batch, left=shown), keep_progress_artifact(batch, left=shown, series=series):
        # One cluster for all passes: starting one takes longer than a pass over a few rerolls.
        with untagged:
            async with _open_places(batch, selection, run=run) as work:
                while left and not batch.stop.requested:
                    await work(left)
                    # What a gate rejected late is made in another pass. With a limit it is left to the next resume.
                    if batch.gate is None or selection.limit is not None or not await batch.gate.settle():
                        return
                    left = await count_open(batch.engine, selection)


@asynccontextmanager
async def _open_places(
    batch: Batch, selection: Selection, *, run: int
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Give the function that runs the selected jobs, so many of which are open, where the settings say."""
    if batch.settings.runner.kind == "local":
        yield lambda left: _run_locally(batch, selection, size=choose_shard_size(left))
        return
    from tasks.orchestration.cluster import open_cluster  # noqa: PLC0415  a run on this machine does not wait for it

    async with open_cluster(batch, selection, run=run) as work:
        yield work


def raise_what_broke(outcome: object) -> None:
    """Raise what a task run raised. One that failed because of its jobs has done its work: the ledger has them."""
    if isinstance(outcome, BaseException):
        raise outcome


async def _run_locally(batch: Batch, selection: Selection, *, size: int) -> None:
    async def run(shard: Shard) -> None:
        label = shard.label if size == 1 else shard.range_label
        # A shard of one job is named by that job, so that each prompt stands in the UI.
        shard_run = generate_shard(label, shard.first, shard.last, shard.planned_run, shard.backend, return_state=True)
        state: State[dict[str, int]] = await shard_run  # type: ignore[misc]  # Prefect types it as not awaitable
        try:
            raise_what_broke(await state.aresult(raise_on_failure=False))
        except ImagenError:
            raise
        except Exception as exc:  # what broke is Prefect's, such as its server going away: the others land
            raise BatchStopped("shard", f"{label} broke ({type(exc).__name__}: {error_text(exc)}); resume") from exc

    await run_backends(batch, selection, run, size=size)


def choose_shard_size(open_count: int) -> int:
    """Jobs in one task run: one while there are few, then so many that the task runs stay few."""
    if open_count <= MOST_SINGLE_JOB_SHARDS:
        return 1
    return max(SMALLEST_LARGE_SHARD, ceil(open_count / MOST_TASK_RUNS))
