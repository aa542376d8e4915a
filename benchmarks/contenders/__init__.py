"""Five ways to do the same work; one small file each, whose `run` does it in the process that is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """One of the five."""

    letter: str
    title: str
    waits: str
    """The way it learns that an image is ready."""
    on_prefect: bool
    """True if it needs a Prefect server."""


CONTENDERS: Mapping[str, Contender] = {
    "bare_aiohttp": Contender("a", "bare asyncio + aiohttp", "a GET every 0.5 s", on_prefect=False),
    "bare_httpx": Contender("b", "bare asyncio + httpx", "a GET every 0.5 s", on_prefect=False),
    "official_client": Contender("c", "`replicate` client", "the create holds until it is ready", on_prefect=False),
    "prefect_map": Contender("d", "Prefect `task.map`", "a GET every 0.5 s", on_prefect=True),
    "imagen": Contender("e", "imagen", "a list of all in flight", on_prefect=True),
}
"""By module; the first is the limit that the others are held against."""
