"""The end of a run whose Prefect server is busy, hangs, or is gone."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.orchestration.server import patience
from tasks.orchestration.server.connection import ServerHandle
from tasks.orchestration.server.health import Presence, ServerError, look_for_server
from tasks.orchestration.server.patience import AFTER_JOBS, BEFORE_JOBS, LOOKS, WHILE_JOBS_RUN, follow_flow
from tests.support.raw_server import http, raw_server
from tests.support.waiting import PATIENCE_S

SENDS_FOREVER = """
import sys, threading
from tasks.orchestration.server import patience
from tasks.orchestration.server.connection import ServerHandle

patience.LOOK_S = patience.LAST_LOOK_S = 0.01
patience.used_servers.append(ServerHandle(api_url=sys.argv[1], given_up=sys.argv[2] == "given up"))
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


def test_a_server_that_takes_calls_and_answers_none_hangs(port: socket.socket) -> None:
    """It is told apart from one that is gone, which has a quarter of a minute to come back."""
    server = ServerHandle(api_url=api(port))
    assert server.look() is Presence.GONE
    port.listen()
    assert server.look(0.01) is Presence.HANGS


@pytest.mark.parametrize(
    ("status", "presence"),
    [("200 OK", Presence.ANSWERS), ("401 Unauthorized", Presence.ANSWERS), ("504 Gateway Timeout", Presence.HANGS)],
)
async def test_a_proxy_that_answers_for_a_server_is_no_answer(status: str, presence: Presence) -> None:
    """What a proxy says of a server that is gone counts as that; a login that is asked for is an answer."""
    async with raw_server(http(status)) as server:
        assert await asyncio.to_thread(look_for_server, f"{server.url}/api") is presence


class Flow:
    """A flow that tells Prefect how it ended, and answers its cancellation with another call there."""

    def __init__(self) -> None:
        """Start with a server that does not answer."""
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


@dataclass(slots=True)
class Server:
    """A server in some state; the flow gets its answer at the look of this number."""

    presence: Presence
    flow: Flow
    answers_at: int = 0
    given_up: bool = False
    looks: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    """Looks come from a thread."""

    def look(self, _timeout_s: float = 0) -> Presence:
        """Count the looks."""
        self.looks += 1
        if self.looks == self.answers_at:
            self.loop.call_soon_threadsafe(self.flow.answered.set)
        return self.presence

    def give_up(self, found: Presence) -> ServerError:
        """See `ServerHandle`."""
        self.given_up = True
        return ServerError(found.value)

    def stop(self) -> None:
        """Nothing is ours."""


@pytest.mark.parametrize(
    ("not_waited_for", "presence"),
    [(AFTER_JOBS, Presence.GONE), (AFTER_JOBS, Presence.HANGS), (BEFORE_JOBS, Presence.HANGS)],
)
async def test_outside_of_its_jobs_a_run_does_not_wait_for_a_server_that_is_gone_or_hangs(
    not_waited_for: Collection[Presence], presence: Presence
) -> None:
    """It is given up after the last look, and what Prefect tries then is given up as well."""
    server = Server(presence, flow := Flow())
    with pytest.raises(ServerError, match=presence.value):
        await follow_flow(flow.run(), server, not_waited_for=lambda: not_waited_for)
    assert (server.looks, server.given_up, flow.steps) == (LOOKS, True, ["tell the end", "tell the crash"])


async def test_a_batch_that_goes_on_needs_no_server() -> None:
    """Jobs in flight land, however long the server is gone; nobody looks for it."""
    server, asked = Server(Presence.HANGS, flow := Flow()), 0

    def choose() -> Collection[Presence]:
        nonlocal asked
        asked += 1
        if asked == 4 * LOOKS:
            flow.answered.set()
        return WHILE_JOBS_RUN

    assert await follow_flow(flow.run(), server, not_waited_for=choose) == "tell the end"
    assert server.looks == 0


@pytest.mark.parametrize(("not_waited_for", "presence"), [(AFTER_JOBS, Presence.ANSWERS), (BEFORE_JOBS, Presence.GONE)])
async def test_a_server_that_is_busy_is_waited_for(not_waited_for: Collection[Presence], presence: Presence) -> None:
    """The flow tells it how it ended, however many looks that takes; before a flow begins it may also start anew."""
    server = Server(presence, flow := Flow(), answers_at=2 * LOOKS)
    assert await follow_flow(flow.run(), server, not_waited_for=lambda: not_waited_for) == "tell the end"


async def test_jobs_that_begin_during_a_look_are_not_stopped() -> None:
    """The server has answered the flow by then, and jobs need none."""
    server = Server(Presence.HANGS, flow := Flow())

    def choose() -> Collection[Presence]:
        if server.looks < LOOKS:
            return BEFORE_JOBS
        flow.answered.set()
        return WHILE_JOBS_RUN

    assert await follow_flow(flow.run(), server, not_waited_for=choose) == "tell the end"
    assert not server.given_up


async def test_a_second_ctrl_c_ends_a_flow_that_calls_prefect() -> None:
    """A flow that answers its cancellation with a call to Prefect is cancelled again."""
    server = Server(Presence.HANGS, flow := Flow())
    following = asyncio.ensure_future(follow_flow(flow.run(), server, not_waited_for=lambda: WHILE_JOBS_RUN))
    while not flow.steps:
        await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert flow.steps == ["tell the end", "tell the crash"]


@pytest.mark.parametrize("state", ["gone", "given up"])
def test_a_process_ends_although_prefect_still_sends(port: socket.socket, state: str) -> None:
    """With the server gone, or hung and given up, the process leaves with its own exit status."""
    if state == "given up":
        port.listen()
    command = [sys.executable, "-c", SENDS_FOREVER, api(port), state]
    done = subprocess.run(command, cwd=Path(__file__).parents[4], timeout=PATIENCE_S, check=False)
    assert done.returncode == 130
