"""The free call of a described API: whether its key works, found out before a night depends on it."""

from __future__ import annotations

import asyncio
import shutil
from itertools import islice

import httpx

from tasks.backends.base import BackendContext
from tasks.backends.client.options import read_secret
from tasks.backends.http_api.api import DescribedApi
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.sections import Call
from tasks.core.errors import BatchStopped, ConfigError, JobError
from tasks.core.presets import find_key_source


def find_missing(options: HttpOptions) -> str | None:
    """The thing that the calls need and that is not there, as `set MY_KEY`; None where jobs can be sent. No network."""
    missing = [name for name in options.variables() if not read_secret(name)]
    command = options.token_command
    # PATH may differ between the shell and a scheduled run, so this is found before the first job.
    is_lacking = command is not None and shutil.which(command[0]) is None
    program = [f"install {command[0]}, which token_command names"] if command is not None and is_lacking else []
    # Other variables, such as an account's name, stand before the key in some addresses.
    sources = (source for name in missing if (source := find_key_source(name)))
    made = "".join(f" (a key is made at {source})" for source in islice(sources, 1))
    # Both at once: who sets the variable would otherwise learn of the program by the next try.
    return "; ".join([*([f"set {', '.join(missing)}{made}"] if missing else []), *program]) or None


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
