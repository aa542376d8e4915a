"""The end of a run whose Prefect server went away.

Prefect's client tries each call again for a minute, and its events and logs are sent one after the other while the
process ends: minutes in all, for a batch that has ended. A server that is busy is waited for, one that is gone is not.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tasks.orchestration.server.health import is_listening

# Seconds between two looks. A server that is started anew has both of them to come back.
LOOK_S, LOOKS = 5.0, 2
# Seconds after which a flow is cancelled once more: Prefect answers the first time with calls to its server.
CANCEL_AGAIN_S = 1.0
# Seconds that open predictions have to be cancelled at the provider; less than the 5 s of `tasks.generate.signals`.
STOP_NOW_S = 3.5

used_servers: list[str] = []
"""The APIs that flows of this process were run with; none means that nothing is left to send at its end."""

Result = TypeVar("Result")


async def follow_flow(flow: Awaitable[Result], *, has_ended: Callable[[], bool], is_gone: Callable[[], bool]) -> Result:
    """Run a flow to its end; where it is cancelled, no call to Prefect holds it up.

    Args:
        flow: The flow.
        has_ended: True once the batch has ended, and the flow only has to tell Prefect.
        is_gone: True where Prefect's server is gone; called in a thread.

    Raises:
        ConnectionError: The batch has ended, and the server is gone. Nothing is left to do.
    """
    task: asyncio.Future[Result] = asyncio.ensure_future(flow)
    gone, patience_s = 0, STOP_NOW_S
    try:
        while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
            gone = gone + 1 if has_ended() and await asyncio.to_thread(is_gone) else 0
            if gone == LOOKS:
                patience_s = CANCEL_AGAIN_S
                raise ConnectionError("it is gone")
        return task.result()
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=patience_s)
            patience_s = CANCEL_AGAIN_S
        if not task.cancelled():
            task.exception()  # asked for, because asyncio prints what nobody has asked for


def limit_exit(status: int) -> None:
    """Let this process end with this status although the server of its flow is gone, which its last events wait for.

    Prefect sends them while the interpreter ends, where no signal and no timeout of ours reaches it.
    """
    while used_servers:
        # A daemon, because the interpreter ends those last: after what is sent to Prefect.
        arguments = (used_servers.pop(), status)
        threading.Thread(target=_exit_without_server, args=arguments, name="limit-exit", daemon=True).start()


def _exit_without_server(api_url: str, status: int) -> None:
    gone = 0
    while (gone := 0 if is_listening(api_url) else gone + 1) < LOOKS:
        time.sleep(LOOK_S)
    os._exit(status)
