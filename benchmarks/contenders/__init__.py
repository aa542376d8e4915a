"""Ways to do the same work; one small file each, whose `run` does it in the process that is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """One of them."""

    letter: str
    title: str
    module: str
    on_prefect: bool = False
    """True if it needs a Prefect server."""
    verify: str | None = None
    """imagen's setting `output.verify`; None: it is not imagen, and checks nothing."""


CONTENDERS: Mapping[str, Contender] = {
    "bare_aiohttp": Contender("a", "bare aiohttp", "bare_aiohttp"),
    "httpx_aiohttp": Contender("b", "httpx on aiohttp", "httpx_aiohttp"),
    "official_client": Contender("c", "`replicate` client", "official_client"),
    "prefect_map": Contender("d", "Prefect `task.map`", "prefect_map", on_prefect=True),
    "imagen": Contender("e", "imagen", "imagen", on_prefect=True, verify="auto"),
    "imagen_decode": Contender("f", "imagen, `verify: decode`", "imagen", on_prefect=True, verify="decode"),
}
"""By name; the first is the limit that the others are held against."""
