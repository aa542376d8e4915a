"""What Prefect knows of earlier flow runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prefect import get_client
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from tasks.errors import InputError
from tasks.paths import ledger_path
from tasks.request import RunRequest


async def output_folder(name: str) -> Path:
    """The folder that a flow run of `generate-batch` wrote to.

    Args:
        name: The flow run's id.

    Raises:
        InputError: The server knows no such flow run, it was none of a batch, or its batch is not on this machine.
    """
    try:
        async with get_client() as client:
            run, url = await client.read_flow_run(UUID(name)), client.api_url
    except (ObjectNotFound, ValueError):
        raise InputError(f"--flow-run {name}: the Prefect server knows no flow run of this id") from None
    try:
        request = RunRequest.model_validate(run.parameters)
    except ValidationError:
        raise InputError(f"--flow-run {name}: {run.name!r} was no run of a batch (see {url})") from None
    out = request.on(run.expected_start_time or datetime.now(UTC)).out
    if not ledger_path(out).is_file():
        where = "" if out.is_absolute() else " Its folder is a relative one: go to where the run was started."
        raise InputError(f"--flow-run {name}: it wrote to {out}, and no batch is there.{where}")
    return out
