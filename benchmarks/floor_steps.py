"""The cost of each guarantee: the bare loop, to which one after the other of imagen's promises is added.

Runs inside a measured process. From `IDS_FIRST` on the loop uses imagen's own parts, without its engine: no limits, no
retries, no budget, no Prefect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

from benchmarks.contenders import bare_aiohttp, httpx_aiohttp, imagen
from benchmarks.work import Work
from tasks.backends.base import Backend
from tasks.core.configuration.sections import OutputSettings
from tasks.core.records import Job, Prediction
from tasks.ledger.open_jobs import find_open_jobs
from tasks.runs.plan_run import plan_run
from tasks.runs.request import RunRequest
from tasks.runs.run import OpenRun, open_run
from tasks.store.images import store_image

BARE = "(a), the bare loop"
HTTPX = "through httpx on aiohttp"
IDS_FIRST = "ids at once, endings by lists"
DURABLE = "files checked whole, with parameters, flushed"
LEDGER = "intent, id and end in the ledger"
STEPS = (BARE, HTTPX, IDS_FIRST, DURABLE, LEDGER)
Picture = Callable[[int], Awaitable[None]]


def run(work: str, step: str) -> None:
    """Do the work with everything up to a step."""
    todo = Work.parse(work)
    if step == BARE:
        bare_aiohttp.run(work)
    elif step == HTTPX:
        httpx_aiohttp.run(work)
    else:
        asyncio.run(_with_our_parts(todo, STEPS.index(step)))


async def _make_all(work: Work, picture: Picture) -> None:
    slots = asyncio.Semaphore(work.in_flight)

    async def one(number: int) -> None:
        async with slots:
            await picture(number)

    await asyncio.gather(*(one(number) for number in range(work.jobs)))


async def _with_our_parts(work: Work, level: int) -> None:
    folder = Path(work.folder)
    request = RunRequest(
        out=str(imagen.get_out(folder)),
        manifest=str(imagen.get_manifest(folder)),
        config=str(imagen.get_config(folder)),
    )
    async with open_run(request) as run_:
        await plan_run(run_)
        jobs = [found.job for found in await find_open_jobs(run_.batch.engine, 0, work.jobs)]
        steps = _OurParts(work, run_, level)
        await _make_all(work, lambda number: steps.picture(number, jobs[number]))


class _OurParts:
    """One picture with imagen's parts, up to a level of `STEPS`."""

    def __init__(self, work: Work, run_: OpenRun, level: int) -> None:
        self._work = work
        self._batch = run_.batch
        self._backend: Backend = run_.batch.backend(imagen.BACKEND)
        self._level = level
        self._instants_us = count(1)

    async def picture(self, number: int, job: Job) -> None:
        journal, now_us = self._batch.journal, next(self._instants_us)
        written = self._level >= STEPS.index(LEDGER)
        if written:
            await journal.record_intent(job, number=1, reserved_micros=None, now_us=now_us)
        prediction = await self._backend.submit(job, attempt=1)
        if written:
            journal.record_submitted(job, number=1, prediction=prediction, retries=0, now_us=now_us)
        ended = await self._backend.wait(job, prediction)
        data = await self._backend.fetch(job, ended)
        await self._keep(number, job, ended, data)

    async def _keep(self, number: int, job: Job, ended: Prediction, data: bytes) -> None:
        if self._level < STEPS.index(DURABLE):
            self._work.keep(number, data, length=None)
            return
        image = await store_image(self._batch.out, job, data, OutputSettings())
        if self._level >= STEPS.index(LEDGER):
            await self._batch.journal.record_success(
                job, number=1, prediction=ended, image=image, latency_ms=0, now_us=next(self._instants_us)
            )
