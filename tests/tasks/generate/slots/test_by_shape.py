"""Servers that make images of one shape in one go get them side by side."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from tasks.generate.slots.by_shape import PlacesByShape
from tests.support.fakes.backends import generate, make_instance_job
from tests.support.fakes.named_service import build_instance
from tests.support.fakes.serving import Provider, serving
from tests.support.scripted_backend import picture
from tests.support.waiting import PATIENCE_S

BATCH, JOBS = 4, 24
SHAPES = [(512, 512), (768, 512), (512, 768)]


@dataclass
class BatchingServer(Provider):
    """A server that waits until it is full, then makes the images of each shape that it holds in one batch."""

    waiting: list[tuple[str, asyncio.Future[None]]] = field(default_factory=list)
    left: int = JOBS
    batches: Counter[int] = field(default_factory=Counter)
    """Batches by their number of images."""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/images/generations", self.make)
        return app

    async def make(self, request: web.Request) -> web.Response:
        """Wait for the batch that holds the image."""
        body = await request.json()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((json.dumps([body.get("size"), body.get("num_inference_steps")]), done))
        if len(self.waiting) == min(BATCH, self.left):
            for size in Counter(shape for shape, _ in self.waiting).values():
                self.batches[size] += 1
            self.left -= len(self.waiting)
            waiting, self.waiting = self.waiting, []
            for _, waiter in waiting:
                waiter.set_result(None)
        await done
        return web.json_response({"data": [{"b64_json": base64.b64encode(picture()).decode()}]})


@pytest.fixture
async def server() -> AsyncIterator[BatchingServer]:
    """The server."""
    provider = BatchingServer()
    async with serving(provider):
        yield provider


@pytest.mark.parametrize("name", ["vllm-omni", "sglang", "localai"])
async def test_jobs_of_one_shape_fill_whole_batches(name: str, server: BatchingServer, out: Path) -> None:
    """Rows of three shapes in turn: every batch is of one shape and full, where in their order none would be."""
    instance = build_instance(name, server.url, concurrency=BATCH)
    jobs = [
        make_instance_job(instance, number, width=width, height=height)
        for number in range(JOBS)
        for width, height in [SHAPES[number % len(SHAPES)]]
    ]
    counts = await generate(out, instance, jobs)
    assert counts.succeeded == JOBS
    assert dict(server.batches) == {BATCH: JOBS // BATCH}


async def test_without_the_setting_rows_go_in_their_order(server: BatchingServer, out: Path) -> None:
    """Then the batches of such a server are small."""
    instance = build_instance("vllm-omni", server.url, concurrency=BATCH, group_by_shape=False)
    jobs = [
        make_instance_job(instance, number, width=width, height=height)
        for number in range(JOBS)
        for width, height in [SHAPES[number % len(SHAPES)]]
    ]
    await generate(out, instance, jobs)
    assert server.batches[BATCH] < JOBS // BATCH


async def test_a_job_that_is_cancelled_leaves_its_place_to_another() -> None:
    """While it waits, and in the moment in which it gets the place."""
    places = PlacesByShape(1)
    await places.acquire("a")
    waits, gets, last = (asyncio.create_task(places.acquire(shape)) for shape in ("a", "b", "b"))
    await asyncio.sleep(0)
    waits.cancel()
    places.release()
    await asyncio.sleep(0)
    gets.cancel()
    await asyncio.wait_for(last, PATIENCE_S)
    with pytest.raises(asyncio.CancelledError):
        await waits
