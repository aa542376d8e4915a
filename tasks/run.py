"""One run over one output folder: from what the user asked for to an open batch, and its end in the ledger.

Takes a `RunRequest`; gives, in order, an open batch, a plan written into its ledger, and the record of how
the run ended. It holds the folder's lock from first to last.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.atomic_files import remove_leftovers
from tasks.backends import require_ready
from tasks.batch import Batch, open_batch
from tasks.clock import Clock
from tasks.errors import BatchStopped, ConfigError, ImagenError
from tasks.ledger.database import open_ledger
from tasks.ledger.leases import living_leases
from tasks.ledger.lock import lock_folder, require_no_workers
from tasks.ledger.place import LedgerPlace, PostgresqlSchema, place_for, require_ledger
from tasks.ledger.planning import reopen, write_plan
from tasks.ledger.postgresql import reach
from tasks.ledger.queries import Selection, open_backends, open_jobs, shards
from tasks.ledger.runs import RunStart, begin_run, end_run, last_run
from tasks.manifest import open_manifest
from tasks.plan import PlanOptions, plan_manifest
from tasks.plan_check import PlanReport, check_manifest
from tasks.records import JobState, micros
from tasks.runner import check_runner
from tasks.settings import BackendSettings, RunnerKind, Settings, load_settings
from tasks.stop import INTERRUPTED
from tasks.summary import COMPLETED, Summary, summarise, write_summary
from tasks.usage.caller import resolve_caller
from tasks.usage.push import PushReport

ESTIMATE_PAGE_JOBS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What the user asked for; plain values, as they travel through Prefect."""

    out: Path
    manifest: str | None = None
    """None goes on from the ledger alone."""
    config: Path | None = None
    """None: the built-in settings, or on a resume those of the batch's last run."""
    backend: str | None = None
    limit: int | None = None
    """With a manifest: its first so many jobs. On a resume: the first so many open jobs."""
    budget_usd: float | None = None
    """Cap over the batch's whole life; None on a resume: the cap of the last run."""
    concurrency: int | None = None
    """Overrides every backend's own."""
    salt: str = ""
    retry_failed: bool = False
    retry_held: bool = False
    runner: RunnerKind | None = None
    """Overrides the configuration's, as `workers` and `cluster` do."""
    workers: int | None = None
    cluster: str | None = None

    def plan_options(self) -> PlanOptions:
        """The part that the planner needs."""
        return PlanOptions(backend=self.backend, limit=self.limit, salt=self.salt)

    def reopened_states(self) -> list[JobState]:
        """States that count as open again."""
        wanted = ((self.retry_failed, JobState.FAILED), (self.retry_held, JobState.HELD))
        return [state for chosen, state in wanted if chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that holds its folder."""

    request: RunRequest
    batch: Batch
    number: int
    settings: Settings


def settings_of(request: RunRequest) -> Settings:
    """The configuration of a run with a manifest, the request's overrides applied.

    Raises:
        ConfigError: The file or a setting cannot be used.
    """
    return _overridden(load_settings(request.config), request)


@asynccontextmanager
async def open_run(request: RunRequest, *, clock: Clock | None = None) -> AsyncIterator[OpenRun]:
    """Lock the folder, open its ledger, record the run.

    A run that generates by itself needs the batch alone, so workers that a killed run left behind are waited out;
    one whose workers claim jobs by leases goes on beside them.

    Raises:
        InputError: The folder cannot be used, or another run holds it. Nothing was spent.
    """
    clock = clock or Clock()
    with lock_folder(request.out):
        remove_leftovers(request.out)
        async with open_ledger(_place(request), create=request.manifest is not None, alone=True) as engine:
            settings, budget_micros = await _settings_and_budget(request, engine)
            check_runner(settings.runner, _place(request))
            if settings.runner.kind == "local":
                require_no_workers(request.out, await living_leases(engine))
            start = RunStart(
                manifest=request.manifest,
                salt=None if request.manifest is None else request.salt,
                budget_micros=budget_micros,
                settings=settings.model_dump_json(),
                caller=resolve_caller(os.environ),
            )
            number = await begin_run(engine, start, now_us=clock.now_us())
            async with open_batch(request.out, engine, settings, budget_micros=budget_micros, clock=clock) as batch:
                try:
                    yield OpenRun(request=request, batch=batch, number=number, settings=settings)
                except ImagenError as exc:
                    await end_run(engine, number, f"stopped: {exc}", now_us=clock.now_us())
                    raise


def check_request(request: RunRequest) -> PlanReport | None:
    """Read the whole manifest before anything is written. Does nothing where it was done in this context already.

    Returns:
        What the manifest comes to; None on a resume.

    Raises:
        ManifestError: The manifest has problems; they are all in it.
        ConfigError: A setting cannot be used, or a backend that the manifest needs is not set up.
        InputError: There is no batch to resume.
    """
    if request.manifest is None:
        require_ledger(request.out)
        return None
    if (known := _checked.get()) is not None and known[0] == request:
        return known[1]
    settings, options = settings_of(request), request.plan_options()
    check_runner(settings.runner, _place(request))
    with open_manifest(request.manifest) as manifest:
        report = check_manifest(manifest, settings, options, ask=True)
    _checked.set((request, report))
    return report


async def check_ledger(request: RunRequest) -> None:
    """Learn before anything else is started that the ledger can be reached.

    Raises:
        ConfigError: It cannot. Nothing was spent.
    """
    place = _place(request)
    if isinstance(place, PostgresqlSchema):
        await reach(place)


async def plan_run(run: OpenRun) -> Selection:
    """Write the manifest's jobs into the ledger (on a resume: none), and open again what the user asked for.

    Returns:
        The open jobs to generate. Where their estimate goes beyond the budget the batch is stopped already.

    Raises:
        ConfigError: A backend that open jobs need is not set up.
    """
    batch, request = run.batch, run.request
    if request.manifest is not None:
        await _plan_manifest(run, request.manifest)
    if states := request.reopened_states():
        await reopen(batch.engine, states)
    selection = _selection(run)
    for name in await open_backends(batch.engine, selection):
        require_ready(name, batch.backend(name))
    if batch.budget.capped:
        try:
            batch.budget.check_estimate(await _estimate(batch, selection))
        except BatchStopped as stopped:
            batch.stop.stop(stopped)
    return selection


async def conclude_run(run: OpenRun, usage: PushReport) -> Summary:
    """Record how the run ended, write `summary.json`, and give the summary."""
    batch, stop = run.batch, run.batch.stop
    outcome = COMPLETED if stop.cause is None else INTERRUPTED if stop.interrupted else f"stopped: {stop.cause}"
    await end_run(batch.engine, run.number, outcome, now_us=batch.clock.now_us())
    now_us, generated = batch.clock.now_us(), batch.tally.succeeded
    summary = await summarise(batch.engine, batch.out, now_us=now_us, generated=generated, warning=usage.warning)
    write_summary(summary)
    return summary


async def _plan_manifest(run: OpenRun, source: str) -> None:
    options = run.request.plan_options()
    with open_manifest(source) as manifest:
        await write_plan(
            run.batch.engine,
            plan_manifest(manifest, run.settings, options),
            run=run.number,
            salt=options.salt,
            whole=options.limit is None,
            now_us=run.batch.clock.now_us(),
        )


def _selection(run: OpenRun) -> Selection:
    """A limit means the manifest's first jobs, done or not; without a manifest, the first that are open."""
    if run.request.manifest is not None and run.request.limit is not None:
        return Selection(planned_run=run.number)
    return Selection(limit=run.request.limit)


async def _estimate(batch: Batch, selection: Selection) -> int:
    """What the jobs that this run may send are expected to cost, millionths of a dollar."""
    total_micros = 0
    async for shard in shards(batch.engine, ESTIMATE_PAGE_JOBS, selection):
        for entry in await open_jobs(batch.engine, shard.first, shard.last):
            cost_micros = batch.backend(entry.job.backend).estimate(entry.job).cost_micros
            if cost_micros is None:
                raise ConfigError(
                    f"backend {entry.job.backend!r} has no known price, so --budget cannot be kept: "
                    f"set backends.{entry.job.backend}.price_usd"
                )
            # What is in flight is reserved in the ledger already.
            total_micros += cost_micros if entry.state is JobState.PLANNED or entry.asked_again else 0
    return total_micros


def _place(request: RunRequest) -> LedgerPlace:
    """A new batch's ledger is where the configuration says; another's is where it is."""
    known = request.manifest is None and request.config is None
    return place_for(request.out, None if known else load_settings(request.config).ledger_url)


async def _settings_and_budget(request: RunRequest, engine: AsyncEngine) -> tuple[Settings, int | None]:
    before = await last_run(engine)
    if request.manifest is not None or request.config is not None or before is None:
        settings = load_settings(request.config)
    else:
        settings = Settings.model_validate_json(before.start.settings)
    inherited = before.start.budget_micros if before and request.manifest is None else None
    budget_micros = inherited if request.budget_usd is None else micros(request.budget_usd)
    return _overridden(settings, request), budget_micros


def _overridden(settings: Settings, request: RunRequest) -> Settings:
    given = {"kind": request.runner, "workers": request.workers, "cluster": request.cluster}
    runner = settings.runner.model_copy(update={name: value for name, value in given.items() if value is not None})
    if runner.kind == "local" and (meaningless := [name for name in ("workers", "cluster") if given[name] is not None]):
        raise ConfigError(f"--{meaningless[0]}: the local runner has none; add --runner dask or --runner ray")
    return settings.model_copy(update={"runner": runner, "backends": _with_concurrency(settings, request.concurrency)})


def _with_concurrency(settings: Settings, concurrency: int | None) -> dict[str, BackendSettings]:
    if concurrency is None:
        return settings.backends
    return {
        name: instance.model_copy(update={"concurrency": concurrency}) for name, instance in settings.backends.items()
    }


_checked: ContextVar[tuple[RunRequest, PlanReport] | None] = ContextVar("checked", default=None)
