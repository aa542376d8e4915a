"""The free call of a described API: whether its key works, found out before a night depends on it."""

from __future__ import annotations

import asyncio

import httpx

from tasks.backends.base import BackendContext
from tasks.backends.http_api.api import DescribedApi
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.sections import Call
from tasks.core.errors import BatchStopped, ConfigError, JobError


def check_service(context: BackendContext, options: HttpOptions, api: DescribedApi) -> str | None:
    """Tell people what the call proves; None where the description has none. Blocks.

    Raises:
        ConfigError: The service says no, or nobody answers.
    """
    if options.check is None:
        return None
    try:
        asyncio.run(_ask(api, options.check))
    except (JobError, BatchStopped) as exc:
        raise ConfigError(f"{context.place}: {exc}") from None
    except httpx.HTTPError as exc:
        reason = api.calls.describe_error(exc)
        raise ConfigError(f"{context.place}: {api.service} cannot be asked ({reason})") from None
    return f"{context.name} works: {api.service} accepts the key. Nothing was made"


async def _ask(api: DescribedApi, call: Call) -> None:
    try:
        await api.check(call)
    finally:
        await api.close()
