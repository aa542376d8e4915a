"""How the simulator's tests talk to it: one client for the API and the files, and one whole attempt in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import httpx
from PIL import Image

from tasks.backends.replicate_simulator.faults import Rule
from tasks.backends.replicate_simulator.server import Simulator, run_simulator
from tasks.backends.replicate_simulator.settings import Settings
from tests.support.waiting import PATIENCE_S

SCHNELL = "black-forest-labs/flux-schnell"
QUICK = Settings(speed=200, latency_s=1, shrink=16, picture_kb=2)
"""A prediction takes 5 ms."""
TOKEN = {"Authorization": "Bearer r8_test"}
ENDED = {"succeeded", "failed", "canceled", "aborted"}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A simulator and a client for it."""

    simulator: Simulator
    http: httpx.AsyncClient

    async def post(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        model: str = SCHNELL,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Ask for a prediction."""
        chosen = {"prompt": "a fox"} if values is None else values
        path = f"{self.simulator.url}/v1/models/{model}/predictions"
        return await self.http.post(path, json={"input": chosen, **body}, headers={**TOKEN, **(headers or {})})

    async def get(self, path: str) -> httpx.Response:
        """Any address of the API."""
        return await self.http.get(f"{self.simulator.url}{path}", headers=TOKEN)

    async def listed(self, **query: str) -> dict[str, Any]:
        """A page of the list."""
        answer = await self.http.get(f"{self.simulator.url}/v1/predictions", params=query, headers=TOKEN)
        page: dict[str, Any] = answer.json()
        return page

    async def ended(self, prediction: Mapping[str, Any]) -> dict[str, Any]:
        """The prediction when it has ended, or as it is after a second."""
        for _ in range(200):
            body: dict[str, Any] = (await self.http.get(prediction["urls"]["get"], headers=TOKEN)).json()
            if body["status"] in ENDED:
                return body
            await asyncio.sleep(0.005)
        return body

    async def attempt(self, values: Mapping[str, Any], *, model: str = SCHNELL) -> str:
        """Create, wait and fetch as a simple client would; what it saw, in a few words."""
        try:
            answer = await self.post(values, model=model, headers={"Cancel-After": "60s"})
        except httpx.ReadTimeout:
            return "create unanswered"
        except (httpx.ReadError, httpx.RemoteProtocolError):
            return "create dropped"
        if answer.status_code != httpx.codes.CREATED:
            return f"create {answer.status_code} {answer.headers['content-type'].partition(';')[0]}"
        try:
            prediction = answer.json()
        except ValueError:
            return "create unreadable"
        if oddity := _find_oddity(await self.http.get(prediction["urls"]["get"], headers=TOKEN)):
            return f"get {oddity}"
        body = await self.ended(prediction)
        return await self._picture(body["output"]) if body["status"] == "succeeded" else _failure(body)

    async def _picture(self, output: Any) -> str:
        if not isinstance(output, list) or not output[0].startswith("http"):
            return f"output {str(output)[:24]}"
        try:
            answer = await self.http.get(output[0])
        except httpx.ReadTimeout:
            return "file unanswered"
        except (httpx.ReadError, httpx.RemoteProtocolError):
            return "file dropped"
        if answer.has_redirect_location:
            return f"file redirected to {urlsplit(answer.headers['location']).hostname}"
        if answer.status_code != httpx.codes.OK:
            return f"file {answer.status_code}"
        kind = answer.headers["content-type"].partition(";")[0]
        return f"{len(output)} {output[0].rpartition('.')[2]} of {kind} with {inside(answer.content)}"


def _find_oddity(answer: httpx.Response) -> str | None:
    """Why no client understands the answer to a get; None where it is one."""
    if answer.status_code != httpx.codes.OK:
        return str(answer.status_code)
    try:
        return None if isinstance(answer.json()["status"], str) else "an odd state"
    except RecursionError:
        return "too deep"


def _failure(body: Mapping[str, Any]) -> str:
    return f"{body['status']}: {body['error']}"


def inside(data: bytes) -> str:
    """What the bytes really are."""
    try:
        with Image.open(BytesIO(data)) as picture:
            picture.load()
            return f"{picture.format} {picture.width}x{picture.height}"
    except OSError:
        return "no picture"


@asynccontextmanager
async def rehearsal(
    settings: Settings = QUICK, *faults: Rule, timeout_s: float = PATIENCE_S
) -> AsyncIterator[Rehearsal]:
    """A simulator with these faults, and a client that follows no redirects."""
    timeout = httpx.Timeout(PATIENCE_S, read=timeout_s)
    async with run_simulator(settings, faults) as simulator, httpx.AsyncClient(timeout=timeout) as http:
        yield Rehearsal(simulator, http)


def seeds(count: int) -> Iterable[dict[str, Any]]:
    """Inputs that differ in their seed."""
    return ({"prompt": "a fox", "seed": seed} for seed in range(count))
