"""Opening and closing the simulator's ports."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from aiohttp import web

from tasks.backends.replicate_simulator.api.create import Creates
from tasks.backends.replicate_simulator.api.routes import build_api_app, build_delivery_app
from tasks.backends.replicate_simulator.faults import Rule
from tasks.backends.replicate_simulator.provider import Provider
from tasks.backends.replicate_simulator.settings import Settings
from tasks.backends.replicate_simulator.simulated_time import make_fast_clock
from tasks.backends.replicate_simulator.truth import Truth

API_HOST = "127.0.0.1"
DELIVERY_HOST = "localhost"
"""Another name than the API's, so that a token that goes there is seen; the API's name is the foreign host there."""
FOREIGN_HOST = API_HOST
# Seconds that open answers get when the simulator ends.
LAST_CALLS_S = 0.5
# More clients may connect at once than the default queue of 100 holds.
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Simulator:
    """A simulator that is up."""

    provider: Provider

    @property
    def url(self) -> str:
        """The API's address, without /v1."""
        return self.provider.api_url

    @property
    def delivery_url(self) -> str:
        """The address of the files' host."""
        return self.provider.delivery_url

    def set_faults(self, rules: Iterable[Rule]) -> None:
        """Put other faults in force, for predictions and calls from now on."""
        self.provider.plan.replace(rules)

    def truth(self) -> Truth:
        """Return the predictions that were really created and billed."""
        return self.provider.truth()


@asynccontextmanager
async def run_simulator(
    settings: Settings | None = None, faults: Iterable[Rule] = (), *, port: int = 0
) -> AsyncIterator[Simulator]:
    """A simulator in this event loop for as long as the block runs; port 0 takes a free one.

    Raises:
        OSError: The port is taken.
    """
    chosen = settings or Settings()
    provider = Provider(chosen, make_fast_clock(chosen.speed))
    provider.plan.replace(faults)
    creates = Creates(provider)
    # Two listeners, so that a token that travels to the files' host can be seen.
    api, delivery = _listen([API_HOST], port), _listen(_find_addresses(DELIVERY_HOST), 0)
    provider.api_url = f"http://{API_HOST}:{api[0].getsockname()[1]}"
    provider.delivery_url = f"http://{DELIVERY_HOST}:{delivery[0].getsockname()[1]}"
    provider.foreign_url = f"http://{FOREIGN_HOST}:{delivery[0].getsockname()[1]}"
    runners = [
        await _start(build_api_app(provider, creates), api),
        await _start(build_delivery_app(provider), delivery),
    ]
    try:
        yield Simulator(provider)
    finally:
        # First of all: calls that are never answered would keep the server from ending.
        creates.closing.set()
        for runner in runners:
            await runner.cleanup()


def serve(settings: Settings, faults: Iterable[Rule], port: int, *, ready: Callable[[Simulator], None]) -> Truth:
    """Run a simulator until SIGINT or SIGTERM; `ready` is called once when it is up.

    Returns:
        What was really created and billed.

    Raises:
        OSError: The port is taken.
    """

    async def until_signal() -> Truth:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with run_simulator(settings, faults, port=port) as simulator:
            ready(simulator)
            await stopped.wait()
        return simulator.truth()

    return asyncio.run(until_signal())


async def _start(app: web.Application, sockets: Iterable[socket.socket]) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=LAST_CALLS_S)
    await runner.setup()
    for listening in sockets:
        await web.SockSite(runner, listening, backlog=BACKLOG).start()
    return runner


def _find_addresses(host: str) -> list[str]:
    """All of the name's addresses: a client may try any of them first."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    # IPv4 first, since a machine without IPv6 has to work.
    return sorted({API_HOST, *(str(address[0]) for *_, address in found)}, key=lambda address: ":" in address)


def _listen(addresses: list[str], port: int) -> list[socket.socket]:
    """Sockets on the same port of every address that this machine has; the first one it must have."""
    sockets = [socket.create_server((addresses[0], port), backlog=BACKLOG)]
    # A machine without IPv6 has no such address, and needs none.
    for address in addresses[1:]:
        with suppress(OSError):
            place = (address, sockets[0].getsockname()[1])
            sockets.append(socket.create_server(place, family=socket.AF_INET6, backlog=BACKLOG))
    return sockets
