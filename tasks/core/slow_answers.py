"""Bounds on answers that drip: a server that sends a byte now and then would hold a call, and its job, for days."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

SLOWEST_BYTES_PER_S = 4 * 1024
"""On average, after a first time of patience; whoever sends less is given up."""


class SlowAnswerGuard:
    """Ends the connections of a blocking call whose answer takes too long, the lines of its head included.

    Libraries that block bound each wait for a byte, and nothing bounds their number. A context manager; `trace` goes
    into the extensions of httpx's request.
    """

    def __init__(self, patience_s: float, *, count_bytes: Callable[[], int] = lambda: 0) -> None:
        """Wait so long, and longer by what the bytes of `count_bytes` may take."""
        self._patience_s = patience_s
        self.count_bytes = count_bytes
        self.has_ended = False
        """True if the connections were closed; what has come is not whole then, whatever it looks like."""
        self._sockets: list[socket.socket] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def trace(self, _event: str, info: Mapping[str, Any]) -> None:
        """Note a connection, as httpx tells of it; one to a proxy or with TLS is told of more than once."""
        ask: Callable[[str], Any] | None = getattr(info.get("return_value"), "get_extra_info", None)
        if ask is not None and isinstance(found := ask("socket"), socket.socket):
            self._sockets.append(found)
            if self.has_ended:  # a redirect that came at the last moment
                self._close()

    def _watch(self) -> None:
        began_s = time.monotonic()
        while (left_s := began_s + self._patience_s + self.count_bytes() / SLOWEST_BYTES_PER_S - time.monotonic()) > 0:
            if self._is_over.wait(left_s):
                return
        self.has_ended = True
        self._close()

    def _close(self) -> None:
        for opened in list(self._sockets):
            # Not the method of a TLS socket, which would take its state away under the thread that reads.
            with suppress(OSError):
                socket.socket.shutdown(opened, socket.SHUT_RDWR)
