"""The server of `imagen review`: on loopback, at the same address as the last time."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from tasks.core.clock import Clock
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.verdicts import read_verdicts
from tasks.report.gallery.build import OnProgress
from tasks.report.review.app import ReviewSession, build_app
from tasks.report.review.current_gallery import CurrentGallery
from tasks.report.review.guards import HOST
from tasks.report.review.judging import Judge
from tasks.report.review.kept_address import KeptAddress, keep_address, read_address
from tasks.store.output import Output

GRACE_S = 5
"""Seconds in which a message that is on its way may still end, once the server is to end."""


class QuietServer(uvicorn.Server):
    """Ends quietly: uvicorn's own raises the signal once more, in the middle of closing the ledger."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the serving, and nothing else."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.force_exit = self.should_exit  # the second one does not wait for a browser's open connection
        self.should_exit = True


async def serve_review(
    out: Output, *, port: int, reviewer: str, ready: Callable[[str], None], on_progress: OnProgress = lambda *_: None
) -> None:
    """Write the gallery anew and serve it until this process is asked to end.

    Args:
        out: The batch.
        port: 0 takes a free one.
        reviewer: Under whose name judgements are written where the page names nobody else.
        ready: Called with the page's address once it answers.
        on_progress: As `write_gallery` has it.

    Raises:
        InputError: There is no such batch.
        OutputError: Its ledger or its folder may only be read, so no verdict could be kept.
        OSError: The port is taken.
    """
    # Asked before thousands of thumbnails are made, and before the first verdict is given.
    async with open_ledger(out.ledger_folder(), writing=True) as engine:
        current = CurrentGallery(out, engine)
        await current.write(on_progress)
        with listen(out, port) as (listener, kept):
            session = ReviewSession(
                current=current,
                judge=Judge(engine, Clock()),
                reviewer=reviewer,
                port=kept.port,
                token=kept.token,
            )

            async def read(since_us: int) -> list[dict[str, Any]]:
                return [dict(row) for row in await read_verdicts(engine, since_us=since_us)]

            # Told before it serves: whoever waits for the address must not wait for a browser.
            ready(session.address)
            await serve_app(build_app(session, read), listener)


async def serve_app(app: Starlette, listener: socket.socket) -> None:
    """Serve a page on a bound socket until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(
        app,
        # A message that is cut off by the end would be told as a traceback.
        log_level="critical",
        access_log=False,
        lifespan="off",
        server_header=False,
        # One Ctrl-C is enough, also while a browser hangs in the middle of a message.
        timeout_graceful_shutdown=GRACE_S,
    )
    await QuietServer(config).serve(sockets=[listener])


@contextmanager
def listen(out: Output, port: int, page: str = "") -> Iterator[tuple[socket.socket, KeptAddress]]:
    """The socket of a review, at the address of the batch's last one where that is free.

    Args:
        out: The batch.
        port: 0 takes a free one.
        page: Name of another page of the batch, which has an address of its own; empty: the review.

    Raises:
        OSError: The port that the user asked for is taken.
    """
    before = read_address(out, page)
    listener = _bind_again(before.port) if before is not None and port in {0, before.port} else None
    # Another review of this batch may be open there. It keeps its address, and this one gets its own.
    is_free = listener is not None
    with listener or socket.create_server((HOST, port)) as bound:
        token = before.token if before is not None and is_free else secrets.token_urlsafe(24)
        address = KeptAddress(port=bound.getsockname()[1], token=token)
        if before is None or is_free or port:
            keep_address(out, address, page)
        yield bound, address


def _bind_again(port: int) -> socket.socket | None:
    try:
        return socket.create_server((HOST, port))
    except OSError:
        return None
