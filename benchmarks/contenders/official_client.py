"""Replicate's own client in a gather, as its documentation has it: `async_run` waits for each prediction."""

from __future__ import annotations

import asyncio
from typing import Any

from replicate.client import Client
from replicate.helpers import FileOutput

from benchmarks.work import MODEL, TOKEN, Work


def run(work: str) -> None:
    """Do the work."""
    asyncio.run(_generate(Work.parse(work)))


async def _generate(work: Work) -> None:
    slots = asyncio.Semaphore(work.in_flight)
    client = Client(TOKEN, base_url=work.api_url)

    async def one(number: int) -> None:
        async with slots:
            urls: Any = await client.async_run(MODEL, dict(work.input(number)))
            # It makes files of https addresses only; the simulator's is http.
            data = await FileOutput(urls[0], client).aread()
            work.keep(number, data, length=None)

    await asyncio.gather(*(one(number) for number in range(work.jobs)))
