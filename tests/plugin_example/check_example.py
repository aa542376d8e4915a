"""The example's own tests: the conformance suite, and a server that stands in for its service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO

import pytest
import pytest_asyncio
from aiohttp import web
from imagen_example.backend import KEY, ExampleBackend
from PIL import Image

from tasks.backends.conformance import BackendConformance, Ending, Subject

SECRET = "ex-0123456789"


class Service:
    """Makes pictures, and does not answer when it is told so."""

    def __init__(self) -> None:
        """Nothing was made yet."""
        self.created = 0
        self.dropping: str | None = None

    def drop(self, when: str) -> None:
        """Close the connection `before` or `after` the next picture is made."""
        self.dropping = when

    async def make(self, request: web.Request) -> web.Response:
        """`POST /make`."""
        when, self.dropping = self.dropping, None
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return web.Response(status=401)
        self.created += when != "before"
        if when is not None and request.transport is not None:
            request.transport.abort()
        file = BytesIO()
        Image.new("RGB", (16, 16), (self.created % 256, 0, 0)).save(file, "PNG")
        return web.Response(body=file.getvalue(), headers={"X-Request-Id": f"r{self.created}"})


class TestExample(BackendConformance):
    """All of it, in these few lines."""

    @pytest_asyncio.fixture
    async def subject(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
        """The backend, with its service."""
        monkeypatch.setenv(KEY, SECRET)
        service, app = Service(), web.Application()
        app.router.add_post("/make", service.make)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Subject(
            build=ExampleBackend,
            instance={
                "type": "example",
                "price_usd": 0.01,
                "api_base": f"http://127.0.0.1:{runner.addresses[0][1]}",
            },
            created=lambda: service.created,
            endings={
                Ending.LOST_BEFORE: lambda: service.drop("before"),
                Ending.LOST_AFTER: lambda: service.drop("after"),
            },
            unreachable={"api_base": "http://127.0.0.1:1"},
            variable=KEY,
            secrets=(SECRET,),
        )
        await runner.cleanup()
