"""The parts that all stand-ins share: the truth, the faults in force, and a port of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

ALWAYS = 10**9


@dataclass
class Provider:
    """One service: what it was asked, what it made, and what goes wrong with it."""

    key: str = "sk-test-1234567890abcdef"
    url: str = ""
    faults: dict[str, int] = field(default_factory=dict)
    """The number of times that each fault still strikes; its known names are the service's."""
    known_faults: frozenset[str] = frozenset()
    created: list[dict[str, Any]] = field(default_factory=list)
    """The input of everything that was made (and billed), in order."""
    requests: Counter[str] = field(default_factory=Counter)
    key_leaks: int = 0
    """Downloads of pictures that carried the key."""

    def break_(self, name: str, times: int = ALWAYS) -> None:
        """Let a fault strike so often."""
        assert name in self.known_faults, f"{name} is no fault of this service"
        self.faults[name] = times

    def strikes(self, name: str) -> bool:
        """True if the fault strikes now."""
        assert name in self.known_faults
        left = self.faults.get(name, 0)
        self.faults[name] = left - 1
        return left > 0

    def app(self) -> web.Application:
        """Its routes."""
        raise NotImplementedError


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[str]:
    """The provider's address, for the duration of the block."""
    runner = web.AppRunner(provider.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider.url
    finally:
        await runner.cleanup()
