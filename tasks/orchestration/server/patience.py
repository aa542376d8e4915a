"""The end of a run whose Prefect server went away, or hangs.

Prefect's client tries each call again for a minute where nobody listens, and for six where nobody answers; its events and
logs are sent one after the other while the process ends. A server that is busy is waited for, one that is gone or hangs is
not: not before the first job, and not after the last.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Protocol, TypeVar

from tasks.orchestration.server.health import Presence, ServerError

# Seconds between two looks. A server that is started anew has both of them to come back.
LOOK_S, LOOKS = 5.0, 2
# Seconds that a server which was given up has for one answer, before its last events are given up too.
LAST_LOOK_S = 5.0
# Seconds after which a flow is cancelled once more: Prefect answers the first time with calls to its server.
CANCEL_AGAIN_S = 1.0
# Seconds that open predictions have to be cancelled at the provider; less than the 5 s of `tasks.generate.signals`.
STOP_NOW_S = 3.5
BEFORE_JOBS, AFTER_JOBS = frozenset({Presence.HANGS}), frozenset({Presence.HANGS, Presence.GONE})
"""What is not waited for then. For a server that is gone before the first job, Prefect's own minute has to do."""
WHILE_JOBS_RUN: frozenset[Presence] = frozenset()
"""Jobs need no server: they go on, however long it is away."""


class UsedServer(Protocol):
    """The server of a flow; see `connection.ServerHandle`."""

    given_up: bool

    def look(self, timeout_s: float = ...) -> Presence:
        """Look whether it is there and answers."""

    def give_up(self, found: Presence) -> ServerError:
        """Wait for it no longer; gives the error that says so."""

    def stop(self) -> None:
        """End it where it is ours."""


used_servers: list[UsedServer] = []
"""The servers that flows of this process were run with; none means that nothing is left to send at its end."""

Result = TypeVar("Result")


async def follow_flow(
    flow: Awaitable[Result], server: UsedServer, *, not_waited_for: Callable[[], Collection[Presence]]
) -> Result:
    """Run a flow to its end; where it is cancelled, no call to Prefect holds it up.

    Args:
        flow: The flow.
        server: The server that it tells.
        not_waited_for: What the flow does not wait for at present.

    Raises:
        ServerError: The server is in such a state, and the flow was cancelled.
    """
    task: asyncio.Future[Result] = asyncio.ensure_future(flow)
    missed, patience_s = 0, STOP_NOW_S
    try:
        while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
            found = await _look(server) if not_waited_for() else Presence.ANSWERS
            # Asked again after the look: the flow may have got its answer, and send jobs by now.
            missed = missed + 1 if found in not_waited_for() else 0
            if missed >= LOOKS and not task.done():
                patience_s = CANCEL_AGAIN_S
                raise server.give_up(found)
        return task.result()
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=patience_s)
            patience_s = CANCEL_AGAIN_S
        if not task.cancelled():
            task.exception()  # asked for, because asyncio prints what nobody has asked for


async def _look(server: UsedServer) -> Presence:
    """Look in a thread that nothing waits for: Ctrl-C ends the run in the middle of a look."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Presence] = loop.create_future()

    def answer(presence: Presence) -> None:
        if not found.done():
            found.set_result(presence)

    def look() -> None:
        presence = server.look()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(answer, presence)

    threading.Thread(target=look, name="look-for-server", daemon=True).start()
    return await found


def limit_exit(status: int) -> None:
    """Let this process end with this status although the server of its flow is gone, which its last events wait for.

    Prefect sends them while the interpreter ends, where no signal and no timeout of ours reaches it.
    """
    while used_servers:
        # A daemon, because the interpreter ends those last: after what is sent to Prefect.
        arguments = (used_servers.pop(), status)
        threading.Thread(target=_exit_without_server, args=arguments, name="limit-exit", daemon=True).start()


def _exit_without_server(server: UsedServer, status: int) -> None:
    missed = 0
    while (missed := missed + 1 if _is_missed(server) else 0) < (1 if server.given_up else LOOKS):
        time.sleep(LOOK_S)
    # A server of ours that hangs would be left behind.
    server.stop()
    os._exit(status)


def _is_missed(server: UsedServer) -> bool:
    found = server.look(LAST_LOOK_S) if server.given_up else server.look()
    return found in AFTER_JOBS
