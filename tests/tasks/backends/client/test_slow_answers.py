"""Servers that drip: a byte now and then, for ever, wherever in the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.backends.client import pages
from tasks.backends.client.calls import HttpCalls
from tasks.core.errors import Ambiguous
from tasks.manifest import remote
from tests.support.waiting import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\n"
DRIPS: dict[str, tuple[bytes, bytes]] = {
    "a header": (OK + b"X-Long: ", b"x"),
    "1xx answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a body": (OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "a body without a length": (OK + b"Connection: close\r\n\r\n", b"a fox\n"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a chunk's extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
}
"""What comes at once, and what comes again and again."""


@asynccontextmanager
async def dripping(drip: str) -> AsyncIterator[str]:
    """The address of a server that never ends its answer."""
    first, again = DRIPS[drip]
    answering: set[asyncio.Task[Any]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.update(filter(None, [asyncio.current_task()]))
        # Whoever asks gives up sooner or later; what the test does not wait for is cancelled at its end.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            while True:
                writer.write(again)
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering)


@pytest.mark.parametrize("drip", DRIPS)
async def test_an_answer_that_drips_is_given_up(drip: str) -> None:
    """A free call gets no answer, and a paid one may have been taken; neither waits for ever."""
    calls = HttpCalls(connections=2, answer_timeout_s=1.0)
    try:
        async with dripping(drip) as url, asyncio.timeout(PATIENCE_S):
            asked, paid = await asyncio.gather(
                calls.http.get(url), calls.pay("POST", url, json={}), return_exceptions=True
            )
        assert isinstance(asked, httpx.ReadTimeout)
        assert isinstance(paid, Ambiguous)
    finally:
        await calls.close()


@pytest.mark.parametrize("drip", ["a header", "a body without a length", "a chunk's extension"])
async def test_a_page_and_a_manifest_that_drip_are_given_up(
    drip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a plan nor a run hangs, and no part of a manifest is taken for the whole."""
    monkeypatch.setattr(pages, "LONGEST_S", 0.3)
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.3)
    async with dripping(drip) as url, asyncio.timeout(PATIENCE_S):
        with pytest.raises(pages.NO_PAGE):
            await asyncio.to_thread(pages.fetch_page, url, {})
        with pytest.raises(ValueError, match="cannot be fetched"):
            await asyncio.to_thread(remote.fetch, f"{url}/m.txt", tmp_path)
