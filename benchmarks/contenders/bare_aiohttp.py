"""A bare loop on aiohttp: what cannot be undercut by much, and nothing is retried, resumed or written down."""

from __future__ import annotations

import asyncio

import aiohttp

from benchmarks.work import AUTHORIZATION, CREATE_HEADERS, POLL_S, Work


def run(work: str) -> None:
    """Do the work."""
    asyncio.run(_generate(Work.parse(work)))


async def _generate(work: Work) -> None:
    slots = asyncio.Semaphore(work.in_flight)

    async def one(number: int) -> None:
        async with slots:
            await _make_picture(http, work, number)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await asyncio.gather(*(one(number) for number in range(work.jobs)))


async def _make_picture(http: aiohttp.ClientSession, work: Work, number: int) -> None:
    async with http.post(work.creates_url, json={"input": work.input(number)}, headers=CREATE_HEADERS) as answer:
        answer.raise_for_status()
        prediction = await answer.json()
    while not prediction.get("output"):
        await asyncio.sleep(POLL_S)
        async with http.get(prediction["urls"]["get"], headers=AUTHORIZATION) as answer:
            answer.raise_for_status()
            prediction = await answer.json()
    async with http.get(prediction["output"][0]) as answer:
        answer.raise_for_status()
        work.keep(number, await answer.read(), length=answer.content_length)
