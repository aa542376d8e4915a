"""One run over one output folder: open it under its lock, and record how it ended."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.backends.prices import dump_list_prices
from tasks.core.addresses import hide_secrets
from tasks.core.atomic_files import remove_leftovers
from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ImagenError
from tasks.core.memory import share_heap
from tasks.generate.batch import Batch, open_batch
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.leases import list_living_leases, revoke
from tasks.ledger.lock import lock_folder, require_no_workers
from tasks.ledger.open_jobs import Selection
from tasks.ledger.runs import RunStart, begin_run, end_run, get_last_run
from tasks.manifest.remote import is_remote
from tasks.report.summary import COMPLETED, Summary, summarise, write_summary
from tasks.runs.checks import check_runner, check_signature, find_manifest_gates, has_same_plan
from tasks.runs.effective_settings import choose_settings_and_budget, find_ledger, load_given_settings, put_gates
from tasks.runs.other_manifests import require_replacement
from tasks.runs.request import RunRequest
from tasks.runs.unknown_costs import bound_unknown_costs
from tasks.store.output import parse_output
from tasks.store.output.base import Output
from tasks.usage.caller import resolve_caller
from tasks.usage.push import PushReport


@dataclass(slots=True, kw_only=True, eq=False)
class OpenRun:
    """A run that holds its folder."""

    request: RunRequest
    batch: Batch
    number: int
    settings: Settings
    has_begun: bool = False
    """True once jobs may be in flight."""
    summary: Summary | None = None
    """How it ended; None before that."""


handed_over: ContextVar[tuple[OpenRun, Selection] | None] = ContextVar("handed_over", default=None)
"""The run that this context has opened and planned already; see `hand_over`."""


@asynccontextmanager
async def open_run(
    request: RunRequest, *, clock: Clock | None = None, deployment: str | None = None
) -> AsyncIterator[OpenRun]:
    """Lock the output folder, open its ledger and record the run.

    A local run needs the batch for itself and waits for workers that a killed run left behind. A run with workers
    starts beside them, because leases keep their jobs apart. A run that was handed over is open already.

    Args:
        request: Its parameters.
        clock: Its clock.
        deployment: Name of the deployment that started it; the usage table names it as the caller.

    Raises:
        InputError: The output cannot be used, or another run holds it. Nothing was spent.
    """
    # The flow opens the run again, and finds the one that the command line has opened.
    if (ready := handed_over.get()) is not None and ready[0].request == request:
        yield ready[0]
        return
    share_heap()  # before the first of its threads starts
    clock, out = clock or Clock(), parse_output(request.out)
    with lock_folder(out.home, shown=request.out):
        remove_leftovers(out.home)
        given = load_given_settings(request)
        async with open_ledger(find_ledger(request, given), create=request.manifest is not None, alone=True) as engine:
            begun = await _begin(request, given, engine, out=out, clock=clock, deployment=deployment)
            async with open_batch(
                out, engine, begun.settings, budget_micros=begun.budget_micros, clock=clock, caller=begun.caller
            ) as batch:
                opened = OpenRun(request=request, batch=batch, number=begun.number, settings=begun.settings)
                async with _record_stop(opened):
                    yield opened


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A run that the ledger knows."""

    number: int
    settings: Settings
    budget_micros: int | None
    caller: str


async def _begin(
    request: RunRequest,
    given: Settings | None,
    engine: AsyncEngine,
    *,
    out: Output,
    clock: Clock,
    deployment: str | None,
) -> _Begun:
    """Choose the run's settings, check them against the batch, and record the run; nothing is sent."""
    before = await get_last_run(engine)
    out.claim(first=before is None)
    settings, budget_micros = choose_settings_and_budget(request, given, before)
    settings = put_gates(settings, request, find_manifest_gates(request, settings), before)
    check_runner(settings.runner, find_ledger(request, given))
    check_signature(settings)
    if settings.runner.kind == "local":
        require_no_workers(request.out, await list_living_leases(engine))
    if not await has_same_plan(engine, request):
        await require_replacement(engine, request, settings)
    if budget_micros is not None:
        # Before the run is recorded: a cap that cannot be kept refuses the run, and leaves no trace of it.
        await bound_unknown_costs(engine, settings)
    start = RunStart(
        manifest=request.manifest,
        salt=None,
        budget_micros=budget_micros,
        settings=settings.model_dump_json(),
        caller=resolve_caller(os.environ, deployment=deployment),
        deployment=deployment or "",
        list_prices=dump_list_prices(),
    )
    number = await begin_run(engine, start, now_us=clock.now_us())
    if settings.runner.kind == "local":
        # No worker is alive, so the leases of those that died are only in the way of this run.
        await revoke(engine)
    return _Begun(number=number, settings=settings, budget_micros=budget_micros, caller=start.caller)


@asynccontextmanager
async def _record_stop(run: OpenRun) -> AsyncIterator[None]:
    """Note in the ledger that an error ended the run in the block."""
    try:
        yield
    except ImagenError as exc:
        with suppress(ImagenError):  # the ledger may be what is away
            await end_run(run.batch.engine, run.number, f"stopped: {exc}", now_us=run.batch.clock.now_us())
        raise


@contextmanager
def hand_over(run: OpenRun, selection: Selection) -> Iterator[None]:
    """Let `open_run` and `plan_run` find, for the duration of the block, what this context has opened and planned."""
    token = handed_over.set((run, selection))
    try:
        yield
    finally:
        handed_over.reset(token)


def hide_addresses(request: RunRequest) -> RunRequest:
    """The request as others may see it: its addresses without what opens them."""
    given = {"manifest": request.manifest, "config": request.config}
    return request.model_copy(update={name: hide_secrets(it) for name, it in given.items() if it and is_remote(it)})


def restore_request(shown: RunRequest) -> RunRequest:
    """The request that this context has opened, where `shown` is what `hide_addresses` gave of it; any other as it is."""
    ready = handed_over.get()
    return ready[0].request if ready is not None and hide_addresses(ready[0].request) == shown else shown


async def conclude_run(run: OpenRun, usage: PushReport) -> Summary:
    """Record how the run ended and write `summary.json`."""
    batch, stop = run.batch, run.batch.stop
    outcome, frees_at_us = COMPLETED, None
    if stop.cause is not None:
        outcome = stop.cause.reason if stop.interrupted else f"stopped: {stop.cause}"
        frees_at_us = stop.cause.frees_at_us
    await end_run(batch.engine, run.number, outcome, now_us=batch.clock.now_us(), frees_at_us=frees_at_us)
    now_us, generated = batch.clock.now_us(), batch.tally.succeeded
    summary = await summarise(
        batch.engine, batch.out, now_us=now_us, generated=generated, short=batch.missing, warning=usage.warning
    )
    await write_summary(summary)
    run.summary = summary
    return summary
