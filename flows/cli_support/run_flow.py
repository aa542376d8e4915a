"""The steps that `run` and `resume` share: a Prefect server, the flow, the screen, the exit status."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from flows.cli_support.screen import print_result, show_progress
from tasks.backends.prices import warn_of_old_prices
from tasks.core.display import Display, current_display
from tasks.core.errors import BatchStopped, ImagenError, Interrupted
from tasks.core.paths import get_state_folder
from tasks.core.text import format_command
from tasks.generate.signals import handle_signals
from tasks.generate.stop import StopSignal
from tasks.manifest.reading import describe_columns
from tasks.orchestration.server.connection import ServerError, ServerHandle, connect, set_quiet_defaults
from tasks.orchestration.server.health import Presence
from tasks.orchestration.server.loading import load_prefect
from tasks.orchestration.server.patience import AFTER_JOBS, BEFORE_JOBS, WHILE_JOBS_RUN, follow_flow, used_servers
from tasks.plan.check import PlanReport
from tasks.report.summary import get_exit_code
from tasks.runs.checks import check_ledger, check_request
from tasks.runs.direct import count_left, finish_run
from tasks.runs.plan_run import plan_run
from tasks.runs.request import RunRequest
from tasks.runs.run import OpenRun, hand_over, hide_addresses, open_run

FLOW_RUN_TAG = "imagen"
HEARING_S = 0.001
"""Any timer is due after the loop has called the handlers of signals that came before it."""
GARBAGE_AFTER_OBJECTS = 50_000
"""While images are made: often enough for what their calls leave behind, rarely enough to cost nothing."""
QUIET_CONSOLE = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    # Here a lost connection prints a page of text for each event that could not be sent.
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
}
"""Prefect's own lines stay off the screen; its server still gets them."""


def execute(request: RunRequest, *, json: bool, verbose: bool, quiet: bool) -> None:
    """Run the flow, print what came of it, and leave the process with its exit status.

    Raises:
        ImagenError: Nothing could be done; its `exit_code` says why.
    """
    summary = perform(request, verbose=verbose, quiet=quiet)
    print_result(summary, json=json, quiet=quiet)
    sys.exit(get_exit_code(summary))


def perform(request: RunRequest, *, verbose: bool, quiet: bool) -> dict[str, Any]:
    """Run the flow with everything that a person sees of it, and give the batch's summary.

    Raises:
        ImagenError: Nothing could be done; its `exit_code` says why.
    """
    request = request.on(datetime.now(UTC))
    with show_progress(quiet=quiet) as display:
        display.phase("reading the manifest" if request.manifest else "reading the ledger")
        report = check_request(request)
        asyncio.run(check_ledger(request))
        # Checked again inside the flow, at no cost; the answer is kept for a request that is the same.
        told = {} if report is None else _tell_findings(report, display)
        return _run(request, verbose=verbose) | told


def _tell_findings(report: PlanReport, display: Display) -> dict[str, Any]:
    """Say before anything is paid how the manifest was read; gives the same for programs."""
    warnings = [*report.notes, *warn_of_old_prices(report.priced_on, datetime.now(UTC).date())]
    display.note(describe_columns(report.columns))
    for line in warnings:
        display.warn(line)
    return {"columns": dict(report.columns), "warnings": warnings}


def find_flow_run_output(name: str, *, verbose: bool) -> str:
    """The output folder of a flow run that Prefect knows; a temporary server knows what earlier ones did.

    Raises:
        ImagenError: There is no such flow run, it was none of a batch, or no server could be asked.
    """
    server = _connect(verbose=verbose)
    load_prefect()
    from flows.cli_support.flow_runs import find_output

    with explain_server_errors(server):
        return asyncio.run(follow_flow(find_output(name), server, not_waited_for=lambda: BEFORE_JOBS))


def _connect(*, verbose: bool, stop: StopSignal | None = None) -> ServerHandle:
    """Find a server or start one; raises what stopped the batch while it starts."""
    display = current_display.get()
    state = get_state_folder()
    if os.path.expanduser("~") == "~":  # noqa: PTH111  Prefect needs a home folder, and containers may have none
        os.environ["HOME"] = str(state)
    set_quiet_defaults(os.environ)
    # `-v` shows what Prefect logs; otherwise its lines would break the progress bar.
    if not verbose:
        for name, value in QUIET_CONSOLE.items():
            os.environ.setdefault(name, value)
        # Python's own switch: while a server is away, Prefect's handler prints an error for each batch of lines.
        logging.raiseExceptions = False

    def on_wait(elapsed_s: float) -> None:
        display.phase(f"starting Prefect's server ({elapsed_s:.0f} s)")
        if stop is not None:
            stop.check()

    return connect(state, os.environ, on_wait=on_wait)


def _run(request: RunRequest, *, verbose: bool) -> dict[str, Any]:
    try:
        return asyncio.run(_plan_and_run(request, verbose=verbose))
    except asyncio.CancelledError:  # the second Ctrl-C
        again = format_command("resume", request.out)
        raise Interrupted(
            f"stopped at once; to go on: {again}. What the service had begun was cancelled where it can be, may be "
            "billed, and is made again only with --retry-failed"
        ) from None


async def _plan_and_run(request: RunRequest, *, verbose: bool) -> dict[str, Any]:
    """Plan first: a server takes many seconds to start, and a batch with nothing left to do needs none."""
    async with open_run(request) as run, handle_signals(run.batch.stop):
        selection, stop = await plan_run(run), run.batch.stop
        # The folder is locked meanwhile: another run would plan the same jobs.
        if await count_left(run, selection):
            try:
                # Off this loop, so that Ctrl-C is heard while the server starts.
                server = await asyncio.to_thread(_connect, verbose=verbose, stop=stop)
                stop.check()
            except BatchStopped:
                if not stop.requested:
                    raise
            else:
                with hand_over(run, selection):
                    return await _run_flow(run, server)
        return (await finish_run(run)).as_dict()


async def _run_flow(run: OpenRun, server: ServerHandle) -> dict[str, Any]:
    # Only now, because it reads its settings when it is imported.
    load_prefect()
    from prefect import tags

    from flows.generate_batch import generate_batch

    # Loading takes a minute on a busy machine, and a Ctrl-C of meanwhile is heard in the loop's next two turns.
    await asyncio.sleep(HEARING_S)
    if run.batch.stop.requested:
        return (await finish_run(run)).as_dict()
    # What is loaded by now stays to the end: the garbage collector need not walk it for every few thousand images.
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER_OBJECTS, *gc.get_threshold()[1:])
    used_servers.append(server)
    try:
        with explain_server_errors(server), tags(FLOW_RUN_TAG):  # what the flow itself raises is in its state
            state = await follow_flow(
                generate_batch(**hide_addresses(run.request).parameters(), return_state=True),
                server,
                not_waited_for=lambda: _choose_unwaited(run),
            )
    except ServerError as exc:
        # A server that went away, or whose record of this run was deleted: the batch has come to its end all the same.
        # One that was interrupted sends nothing more, and needs no server to write down what it has.
        if run.summary is None and not run.batch.stop.interrupted:
            raise
        current_display.get().warn(f"Prefect's pages do not show how this run ended: {exc}")
        return (run.summary or await finish_run(run)).as_dict()
    # The state's data is the summary; without one the flow has failed before it had one.
    outcome: object = await state.aresult(raise_on_failure=False)
    if isinstance(outcome, dict):
        return outcome
    if isinstance(outcome, BaseException):
        raise outcome
    raise ImagenError(f"the flow ended without a result: {state.message}")


def _choose_unwaited(run: OpenRun) -> Collection[Presence]:
    if run.summary is not None:
        return AFTER_JOBS
    return WHILE_JOBS_RUN if run.has_begun else BEFORE_JOBS


@contextmanager
def explain_server_errors(server: ServerHandle) -> Iterator[None]:
    """Turn what Prefect raises where its server refuses it, fails, or is none of Prefect's, into one clear error."""
    try:
        yield
    except ImagenError:
        raise
    except Exception as exc:
        raise server.explain(exc) from exc
