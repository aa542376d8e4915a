"""The same bare loop on httpx with aiohttp's transport, whose cost does not grow with the connections."""

from __future__ import annotations

import asyncio

import httpx
from httpx_aiohttp import AiohttpTransport

from benchmarks.work import AUTHORIZATION, CREATE_HEADERS, POLL_S, Work

TIMEOUT_S = 60.0
"""httpx's own 5 s would end the loop when the machine is busy."""


def run(work: str) -> None:
    """Do the work."""
    asyncio.run(_generate(Work.parse(work)))


async def _generate(work: Work) -> None:
    slots = asyncio.Semaphore(work.in_flight)

    async def one(number: int) -> None:
        async with slots:
            await _make_picture(http, work, number)

    limits = httpx.Limits(max_connections=work.in_flight, max_keepalive_connections=work.in_flight)
    async with httpx.AsyncClient(transport=AiohttpTransport(limits=limits), timeout=TIMEOUT_S) as http:
        await asyncio.gather(*(one(number) for number in range(work.jobs)))


async def _make_picture(http: httpx.AsyncClient, work: Work, number: int) -> None:
    answer = await http.post(work.creates_url, json={"input": work.input(number)}, headers=CREATE_HEADERS)
    prediction = answer.raise_for_status().json()
    while not prediction.get("output"):
        await asyncio.sleep(POLL_S)
        answer = await http.get(prediction["urls"]["get"], headers=AUTHORIZATION)
        prediction = answer.raise_for_status().json()
    answer = await http.get(prediction["output"][0])
    work.keep(number, answer.raise_for_status().content, length=int(answer.headers["content-length"]))
