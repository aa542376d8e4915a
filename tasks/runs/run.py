"""One run over one output folder: open it under its lock, and record how it ended."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from tasks.backends.prices import dump_list_prices
from tasks.core.atomic_files import remove_leftovers
from tasks.core.clock import Clock
from tasks.core.errors import ImagenError
from tasks.core.settings import Settings
from tasks.generate.batch import Batch, open_batch
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.leases import list_living_leases, revoke
from tasks.ledger.lock import lock_folder, require_no_workers
from tasks.ledger.open_jobs import Selection
from tasks.ledger.runs import RunStart, begin_run, end_run, get_last_run
from tasks.report.summary import COMPLETED, Summary, summarise, write_summary
from tasks.runs.checks import check_runner
from tasks.runs.effective_settings import choose_settings_and_budget, find_ledger, load_given_settings
from tasks.runs.other_manifests import require_replacement
from tasks.runs.request import RunRequest
from tasks.runs.unknown_costs import bound_unknown_costs
from tasks.store.output import parse_output
from tasks.usage.caller import resolve_caller
from tasks.usage.push import PushReport


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that holds its folder."""

    request: RunRequest
    batch: Batch
    number: int
    settings: Settings


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
    if (ready := handed_over.get()) is not None and ready[0].request == request:
        yield ready[0]
        return
    clock, out = clock or Clock(), parse_output(request.out)
    with lock_folder(out.home, shown=request.out):
        remove_leftovers(out.home)
        given = load_given_settings(request)
        place = find_ledger(request, given)
        async with open_ledger(place, create=request.manifest is not None, alone=True) as engine:
            before = await get_last_run(engine)
            out.claim(first=before is None)
            settings, budget_micros = choose_settings_and_budget(request, given, before)
            check_runner(settings.runner, place)
            if settings.runner.kind == "local":
                require_no_workers(request.out, await list_living_leases(engine))
            start = RunStart(
                manifest=request.manifest,
                salt=None,
                budget_micros=budget_micros,
                settings=settings.model_dump_json(),
                caller=resolve_caller(os.environ, deployment=deployment),
                list_prices=dump_list_prices(),
            )
            await require_replacement(engine, request, settings)
            if budget_micros is not None:
                await bound_unknown_costs(engine, settings)
            number = await begin_run(engine, start, now_us=clock.now_us())
            if settings.runner.kind == "local":
                await revoke(engine)
            async with open_batch(out, engine, settings, budget_micros=budget_micros, clock=clock) as batch:
                try:
                    yield OpenRun(request=request, batch=batch, number=number, settings=settings)
                except ImagenError as exc:
                    with suppress(ImagenError):  # the ledger may be what is away
                        await end_run(engine, number, f"stopped: {exc}", now_us=clock.now_us())
                    raise


@contextmanager
def hand_over(run: OpenRun, selection: Selection) -> Iterator[None]:
    """Let `open_run` and `plan_run` find, for the duration of the block, what this context has opened and planned."""
    token = handed_over.set((run, selection))
    try:
        yield
    finally:
        handed_over.reset(token)


async def conclude_run(run: OpenRun, usage: PushReport) -> Summary:
    """Record how the run ended and write `summary.json`."""
    batch, stop = run.batch, run.batch.stop
    outcome = COMPLETED
    if stop.cause is not None:
        outcome = stop.cause.reason if stop.interrupted else f"stopped: {stop.cause}"
    await end_run(batch.engine, run.number, outcome, now_us=batch.clock.now_us())
    now_us, generated = batch.clock.now_us(), batch.tally.succeeded
    summary = await summarise(batch.engine, batch.out, now_us=now_us, generated=generated, warning=usage.warning)
    await write_summary(summary)
    return summary
