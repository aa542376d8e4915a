"""A flow that pushes usage rows which runs could not: one batch's, or those of every batch under a folder."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from tasks.core.paths import expand_home
from tasks.runs.configuration import load_run_settings
from tasks.usage.push import push_folders


@flow(name="push-usage", flow_run_name="push-usage {folder}", validate_parameters=True)
async def push_usage(folder: str, *, config: str | None = None) -> State[list[dict[str, Any]]]:
    """Push what is pending; fit to be scheduled, since a push repeated adds no row twice.

    Args:
        folder: An output folder, or one above output folders; or the URL of such a place in a bucket.
        config: Path or address of the configuration that says where to; none: each batch's own.

    Returns:
        Failed when rows stay pending because of trouble; its data says for each batch how it stands.
    """
    settings = load_run_settings(expand_home(config), anew=True) if config else None
    reports = [report async for report in push_folders(folder, settings)]
    warnings = [report.warning for report in reports if report.warning]
    message = "; ".join(warnings or (report.line() for report in reports))
    return (Failed if warnings else Completed)(message=message, data=[report.as_dict() for report in reports])
