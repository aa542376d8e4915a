"""The end of a run whose Prefect server is busy, or gone."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.orchestration.server import patience
from tasks.orchestration.server.connection import ServerHandle
from tasks.orchestration.server.patience import LOOKS, follow_flow
from tests.support.waiting import PATIENCE_S

SENDS_FOREVER = """
import sys, threading
from tasks.orchestration.server import patience

patience.LOOK_S = 0.01
patience.used_servers.append(sys.argv[1])
patience.limit_exit(130)
threading.Thread(target=threading.Event().wait).start()  # the interpreter waits for it, as for Prefect's events
"""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "CANCEL_AGAIN_S", "STOP_NOW_S"):
        monkeypatch.setattr(patience, name, 0.01)
    monkeypatch.setenv("no_proxy", "*")  # behind a proxy nobody can tell whether a server is gone


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """A port of this machine's that nobody listens on, and that nobody else can take."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def api(port: socket.socket) -> str:
    """The address of an API on this port."""
    return f"http://127.0.0.1:{port.getsockname()[1]}/api"


def test_a_server_that_answers_nothing_is_there_as_long_as_it_listens(port: socket.socket) -> None:
    """A busy machine keeps a server from answering for minutes, and takes calls for it meanwhile."""
    server = ServerHandle(api_url=api(port))
    assert server.is_gone()
    port.listen()
    assert not server.is_gone()


class Flow:
    """A flow that tells Prefect how it ended, and answers its cancellation with another call there."""

    def __init__(self) -> None:
        """Start with a server that does not answer."""
        self.looks = 0
        self.steps: list[str] = []
        self.answered = asyncio.Event()

    async def run(self) -> str:
        """Tell Prefect."""
        for call in ("tell the end", "tell the crash"):
            self.steps.append(call)
            try:
                await self.answered.wait()
            except asyncio.CancelledError:
                continue
            return call
        raise asyncio.CancelledError

    def look(self) -> bool:
        """The server is gone; counts how often that was asked."""
        self.looks += 1
        return True


async def test_a_batch_that_has_ended_does_not_wait_for_a_server_that_is_gone() -> None:
    """It is given up after the last look, and what Prefect tries then is given up as well."""
    flow = Flow()
    with pytest.raises(ConnectionError):
        await follow_flow(flow.run(), has_ended=lambda: True, is_gone=flow.look)
    assert (flow.looks, flow.steps) == (LOOKS, ["tell the end", "tell the crash"])


async def test_a_batch_that_goes_on_needs_no_server() -> None:
    """Jobs in flight land, however long the server is gone; nobody looks for it."""
    flow, asked = Flow(), 0

    def has_ended() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2 * LOOKS:
            flow.answered.set()
        return False

    assert await follow_flow(flow.run(), has_ended=has_ended, is_gone=flow.look) == "tell the end"
    assert flow.looks == 0


async def test_a_server_that_is_busy_is_waited_for() -> None:
    """The flow tells it how it ended, however many looks that takes."""
    flow, loop = Flow(), asyncio.get_running_loop()

    def is_gone() -> bool:
        flow.looks += 1
        if flow.looks == 2 * LOOKS:
            loop.call_soon_threadsafe(flow.answered.set)
        return False

    assert await follow_flow(flow.run(), has_ended=lambda: True, is_gone=is_gone) == "tell the end"


async def test_a_second_ctrl_c_ends_a_flow_that_calls_prefect() -> None:
    """A flow that answers its cancellation with a call to Prefect is cancelled again."""
    flow = Flow()
    following = asyncio.ensure_future(follow_flow(flow.run(), has_ended=lambda: False, is_gone=flow.look))
    while not flow.steps:
        await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert flow.steps == ["tell the end", "tell the crash"]


def test_a_process_ends_although_prefect_still_sends(port: socket.socket) -> None:
    """With the server gone, the process leaves with its own exit status."""
    command = [sys.executable, "-c", SENDS_FOREVER, api(port)]
    done = subprocess.run(command, cwd=Path(__file__).parents[4], timeout=PATIENCE_S, check=False)
    assert done.returncode == 130
