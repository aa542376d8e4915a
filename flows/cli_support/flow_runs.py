"""Earlier flow runs, as Prefect's server knows them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prefect import get_client
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from tasks.core.errors import InputError
from tasks.core.paths import has_ledger
from tasks.runs.request import RunRequest
from tasks.store.output import parse_output
from tasks.store.output.bucket_url import parse_bucket_url


async def find_output(name: str) -> str:
    """The output that a flow run of `generate-batch` wrote to.

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
    # The run's own day, not today's: the folder of a night that ran late is that of its date.
    out = request.on(run.expected_start_time or datetime.now(UTC)).out
    if not has_ledger(parse_output(out).home):
        relative = parse_bucket_url(out) is None and not Path(out).is_absolute()
        where = " Its folder is a relative one: go to where the run was started." if relative else ""
        raise InputError(f"--flow-run {name}: it wrote to {out}, and no batch is there.{where}")
    return out
