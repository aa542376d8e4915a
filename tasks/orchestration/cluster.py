"""Step 4 on many machines: shards of the batch as Prefect task runs in the worker processes of Dask or Ray.

A task run takes ids and paths, gives nothing, and is sent again by the cluster when its worker dies: it goes on from
the ledger (`tasks.generate.workers.worker`), so a shard that runs twice, or again after it had ended, is harmless.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stdout, suppress
from math import ceil
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner

from tasks.core.atomic_files import remove_leftovers
from tasks.core.configuration.sections import RunnerSettings
from tasks.core.errors import BatchStopped
from tasks.generate.batch import Batch
from tasks.generate.budget import Budget
from tasks.generate.workers import dask_preload as dask_worker
from tasks.generate.workers.heartbeat import Heartbeat, follow_workers
from tasks.generate.workers.start import begin_fleet, recount_money
from tasks.generate.workers.worker import ShardOrder, work_on_shard
from tasks.ledger.open_jobs import Selection, Shard, bound_selection, find_open_backends
from tasks.ledger.queries import count_jobs, sum_committed_micros
from tasks.orchestration.shard_window import MOST_TASK_RUNS, run_shards
from tasks.orchestration.shards import raise_what_broke
from tasks.orchestration.states import build_shard_state
from tasks.runs.gates import guard_worker

LOOPBACK = "127.0.0.1"
# Jobs; a larger shard loses more when its worker dies, a smaller one costs more task runs.
LARGE_SHARD = 100
# Several for each place, so that a slow shard at the end does not leave the other places idle for long.
SHARDS_A_PLACE = 4
LAST_SORT_KEY = 2**62
"""Beyond the sort key of every job."""


@task(name="generate-shard", task_run_name="{label}", cache_policy=NO_CACHE)
def generate_remote_shard(label: str, order: dict[str, Any]) -> State[dict[str, int]]:  # noqa: ARG001  `label` names the run
    """Generate the open jobs of one shard in this worker process, in an event loop of their own.

    Args:
        label: The name that the run carries in the UI.
        order: A `ShardOrder` as plain values.

    Returns:
        The state of the task run; its data is the number of jobs by their end.
    """
    return build_shard_state(asyncio.run(work_on_shard(ShardOrder(**order), guard_worker)))


@asynccontextmanager
async def open_cluster(
    batch: Batch, selection: Selection, *, run: int
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Start a cluster for the block, and follow what its workers do.

    It gives the function that runs the selected open jobs, so many in all, as task runs, a bounded number of them at once.
    The function returns when every one of them has ended, or the batch was stopped and what was in flight has landed.

    Args:
        batch: The open batch; its tally follows what all workers do.
        selection: The open jobs that are meant.
        run: The run's number.
    """
    # Earlier runs have succeeded jobs too; this run's tally begins at zero.
    before = (await count_jobs(batch.engine)).succeeded - batch.tally.succeeded
    await begin_fleet(batch.engine, run=run)
    beat = Heartbeat(
        batch.engine, run=run, stop=batch.stop, limits=batch.settings.stop, lease_s=batch.settings.runner.lease_s
    )
    async with follow_workers(beat, batch.tally), start_cluster(batch.settings.runner) as runner:

        async def work(left: int) -> None:
            places = await _count_places(batch, selection, runner)
            await recount_money(batch.engine)
            await _send_all(batch, selection, runner, run=run, size=choose_shard_size(left, places), places=places)
            if isinstance(batch.budget, Budget):
                batch.budget.recount(await sum_committed_micros(batch.engine))

        yield work
    remove_leftovers(batch.out.home)  # of workers that died while they wrote
    # What a worker did just before it died, the ledger knows and its last news did not say.
    batch.tally.succeeded = (await count_jobs(batch.engine)).succeeded - before


async def _count_places(batch: Batch, selection: Selection, runner: TaskRunner[Any]) -> int:
    """Count the shards that run at once: as many as were asked for, else as the cluster has slots for."""
    found: int | None = batch.settings.runner.workers
    if found is None:
        found = await asyncio.to_thread(count_worker_slots, runner)
    needed = await find_open_backends(batch.engine, selection)
    # More shards than that would only wait for the backend's own slots.
    return min([found, *(batch.settings.backends[name].concurrency for name in needed)])


def choose_shard_size(left: int, places: int) -> int:
    """Jobs in one shard: every place has several one after the other, so that all end together; few shards in all."""
    return max(ceil(left / MOST_TASK_RUNS), min(LARGE_SHARD, ceil(left / (SHARDS_A_PLACE * places))))


async def _send_all(
    batch: Batch, selection: Selection, runner: TaskRunner[Any], *, run: int, size: int, places: int
) -> None:
    meant = await bound_selection(batch.engine, selection)
    ahead = LAST_SORT_KEY if meant.last is None else meant.last

    async def send(shard: Shard) -> None:
        order = ShardOrder(
            out=batch.out.address,
            run=run,
            first=shard.first,
            last=shard.last,
            ahead=ahead,
            places=places,
            planned_run=shard.planned_run,
        )
        label = shard.range_label
        try:
            future = runner.submit(generate_remote_shard, {"label": label, "order": order.as_dict()})
            await _wait_for_result(future)
        except Exception as exc:  # noqa: BLE001  whatever broke on a worker, the others land, and a resume goes on
            batch.stop.stop(BatchStopped("workers", f"{label} broke on its worker ({type(exc).__name__}: {exc})"))

    # Bounded by jobs, not by shards, so that a batch of large shards does not open more than a batch of small ones.
    await run_shards(batch, meant, send, size=size, most_open=size * places)


async def _wait_for_result(future: PrefectFuture[Any]) -> None:
    """Wait for a task run without holding a thread; what it raised is raised here."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the run was cancelled meanwhile and its loop is closed
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(tell)
    await ended.wait()
    # `raise_on_failure=False` because a shard whose jobs failed has still done its work.
    raise_what_broke(await asyncio.to_thread(future.result, raise_on_failure=False))


@asynccontextmanager
async def start_cluster(settings: RunnerSettings) -> AsyncIterator[TaskRunner[Any]]:
    """The cluster for the duration of the block; starting and ending it takes seconds, off the event loop.

    Raises:
        BatchStopped: It cannot be used. Nothing was sent.
    """
    runner = _build_dask_runner(settings) if settings.kind == "dask" else _build_ray_runner(settings)
    with redirect_stdout(sys.stderr):  # where Ray says that a worker died; our results are for programs
        try:
            # Starting workers forks processes and waits for them, which the event loop must not do.
            await asyncio.to_thread(_start_runner, runner)
        except Exception as exc:
            where = f"at {settings.cluster}" if settings.cluster else "on this machine"
            raise BatchStopped(
                "cluster",
                f"{settings.kind} {where} cannot be used ({exc}). Check that it runs and can be reached, then resume",
            ) from exc
        try:
            yield runner
        finally:
            await asyncio.to_thread(runner.__exit__, None, None, None)


def _start_runner(runner: Any) -> None:
    """Start the cluster, or connect to it: Dask's runner would do so with the first task run only."""
    runner.__enter__()
    count_worker_slots(runner)


def _build_dask_runner(settings: RunnerSettings) -> TaskRunner[Any]:
    import dask  # noqa: PLC0415  an extra, and a second to import
    from prefect_dask import DaskTaskRunner  # noqa: PLC0415  likewise

    # Its profiler calls sys._current_frames() 100 times a second, which now and then freezes a worker for good: a
    # garbage collection inside of it waits for a lock that it holds (CPython gh-106883; met with 3.11.7, 2026-11-24).
    dask.config.set({"distributed.worker.profile.enabled": False, "logging.distributed": "critical"})
    local: dict[str, Any] = {
        "processes": True,
        "threads_per_worker": 1,  # one shard in a process: its event loop has the interpreter for itself
        # A cluster runs whatever it is sent, without a login: nothing of it may listen to other machines.
        "host": LOOPBACK,
        "dashboard_address": f"{LOOPBACK}:0",
        "silence_logs": logging.CRITICAL,
        "preload": [dask_worker.__name__],
    }
    # Without a number Dask starts a worker for each core.
    if settings.workers is not None:
        local["n_workers"] = settings.workers
    runner: TaskRunner[Any] = (
        DaskTaskRunner(cluster_kwargs=local) if settings.cluster is None else DaskTaskRunner(address=settings.cluster)
    )
    return runner


def _build_ray_runner(settings: RunnerSettings) -> TaskRunner[Any]:
    # Ray reports its use by default.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from prefect_ray import RayTaskRunner  # noqa: PLC0415  an extra, and seconds to import

    # Workers write to their own logs: their lines would go between the lines of the progress bar.
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if settings.cluster is None:
        options["include_dashboard"] = False
        # Ray listens on every address of this machine and cannot be told otherwise (2.60, 2026-11): it asks for a token.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        options["num_cpus"] = settings.workers
    runner: TaskRunner[Any] = RayTaskRunner(address=settings.cluster, init_kwargs=options)
    return runner


def count_worker_slots(runner: Any) -> int:
    """Count the shards that the cluster can run at once, as it says now."""
    if hasattr(runner, "client"):
        # Both libraries answer with what is there now; a cluster that grows later is not counted again.
        return max(1, sum(map(int, runner.client.nthreads().values())))
    import ray  # noqa: PLC0415  an extra, and seconds to import

    return max(1, int(ray.cluster_resources().get("CPU", 1)))
