"""Files of batches: gigabytes of images, so they go to disk piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from tasks.core.errors import OutputGone


async def download_lines(
    http: httpx.AsyncClient,
    url: str,
    path: Path,
    *,
    require: Callable[[httpx.Response], None],
    headers: Mapping[str, str] | None = None,
) -> None:
    """Write a file's content to `path`; free.

    Args:
        http: The service's client.
        url: Where the file is.
        path: Where it is written.
        require: Passes an answer of 2xx, and raises for any other.
        headers: Of the request.

    Raises:
        OutputGone: The file is there no more.
        httpx.HTTPError, BatchStopped: As `require` says, or no whole answer.
    """
    async with http.stream("GET", url, headers=dict(headers or {})) as answer:
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise OutputGone("the provider has deleted the batch's output", cost_micros=None)
        if not answer.is_success:
            # A streamed body has to be read before its words can be quoted.
            await answer.aread()
        require(answer)
        with path.open("wb") as file:
            async for part in answer.aiter_bytes():
                file.write(part)
