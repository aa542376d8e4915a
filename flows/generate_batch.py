"""The main flow: a manifest becomes images, one Parquet table and usage rows.

The body is the list of steps; each step is one module of `tasks`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger
from prefect.runtime import deployment as this_deployment
from prefect.runtime import flow_run as this_run
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from tasks.core.configuration.yaml_file import explain_setting
from tasks.core.errors import InputError
from tasks.core.paths import has_ledger
from tasks.core.text import format_command
from tasks.generate.signals import handle_signals
from tasks.metadata.write import refresh_metadata
from tasks.orchestration.artifacts import write_report_artifacts
from tasks.orchestration.cancellation import heed_cancellation
from tasks.orchestration.flow_parameters import take_fields
from tasks.orchestration.global_limits import hold_global_limits
from tasks.orchestration.run_events import emit_end
from tasks.orchestration.run_log import log_run
from tasks.orchestration.shards import generate_open_jobs
from tasks.orchestration.states import build_flow_state, end_in_words, fail_run
from tasks.runs.checks import check_request
from tasks.runs.gates import guard_images
from tasks.runs.plan_run import plan_run
from tasks.runs.request import RunRequest
from tasks.runs.run import conclude_run, hide_addresses, open_run, restore_request
from tasks.store.output import parse_output
from tasks.usage.push import push_usage


def _build_run_name() -> str:
    request = hide_addresses(_fill_in_date(RunRequest.model_validate(this_run.parameters)))
    # A scheduled run is named by its day, which is the folder that it writes to.
    if this_deployment.name:
        return f"{this_deployment.name} {request.get_day(this_run.scheduled_start_time)}"
    what = request.manifest or ("reroll" if request.reroll or request.rerolls_many else "resume")
    return f"{what} -> {request.out}"


def _log_what_is_left(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001  Prefect's names
    """Leave in the flow run's log how the batch goes on, unless the run's end says so or tells what to correct."""
    if isinstance(getattr(state.data, "result", state.data), dict | InputError):
        return
    try:
        request = RunRequest.model_validate(flow_run.parameters)
    except ValidationError as exc:  # Prefect refuses a parameter that there is not before the flow can say so
        problems = "; ".join(explain_setting(error, "parameters") for error in exc.errors())
        message = f"the parameters of this run cannot be used: {problems}"
        flow_run_logger(flow_run).error(message)
        # Prefect calls it crashed, which looks like a fault of the machine, and its page shows a traceback.
        fail_run(flow_run.id, message)
        return
    out = request.on(flow_run.expected_start_time or datetime.now(UTC)).out
    if has_ledger(parse_output(out).home):
        flow_run_logger(flow_run).warning(
            "%s; the batch in %s goes on with: %s", state.name, out, format_command("resume", out)
        )


@flow(
    name="generate-batch",
    flow_run_name=_build_run_name,
    validate_parameters=True,
    on_failure=[_log_what_is_left],
    on_crashed=[_log_what_is_left],
    on_cancellation=[_log_what_is_left],
)
@take_fields(RunRequest)
@end_in_words
async def generate_batch(request: RunRequest) -> State[dict[str, Any]]:
    """Generate what the manifest asks for and the output folder does not have yet.

    Returns:
        The state that Prefect shows; its data is the summary.
    """
    request = restore_request(_fill_in_date(request))
    series = _choose_series(hide_addresses(request))
    check_request(request)
    # The folder is locked for the whole run: another one would plan and pay for the same jobs.
    async with open_run(request, deployment=this_deployment.name) as run, handle_signals(run.batch.stop):
        async with heed_cancellation(run), log_run(run):
            selection = await plan_run(run)
            # Slots of a global limit are held only while images are made, not while the plan is read.
            async with guard_images(run), hold_global_limits(run.batch, selection):
                run.has_begun = True  # from here to its summary nothing waits for Prefect's server
                await generate_open_jobs(run.batch, selection, run=run.number, series=series)
        run.batch.out.check_in_place()
        await refresh_metadata(run.batch.engine, run.batch.out, run=run.number)
        usage = await push_usage(run.batch.engine, run.settings.usage, out=run.batch.out, clock=run.batch.clock)
        summary = await conclude_run(run, usage)
        # After the summary, so that the pages show what the summary says.
        await write_report_artifacts(run.batch, summary, series=series)
        emit_end(run.batch.out, summary.as_dict())
    return build_flow_state(summary.as_dict())


# Prefect's own way to write the parameters loads FastAPI first, for a twentieth of the way to the first submit.
generate_batch.serialize_parameters = partial(to_jsonable_python, fallback=str)  # type: ignore[method-assign]


def _choose_series(request: RunRequest) -> str:
    """Choose the name that the artifacts of all nights of a schedule share."""
    return this_deployment.name or (Path(request.manifest).stem if request.manifest else parse_output(request.out).name)


def _fill_in_date(request: RunRequest) -> RunRequest:
    """By the day of the schedule, on which a late or retried run was to start."""
    return request.on(this_run.scheduled_start_time)
