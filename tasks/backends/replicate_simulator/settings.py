"""Settings of a simulator in which nothing goes wrong; what goes wrong is in `faults`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WaitStated = Literal["body", "header", "words"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The knobs of one simulator. All seconds are simulated ones: `speed` of them pass in a real second."""

    seed: int = 0
    """Decides every spread, id and fault: the same seed and the same requests give the same answers."""
    start: str = ""
    """Goes into every id: a service never gives an id a second time, also not after a restart."""
    speed: float = 1.0
    """Simulated seconds in a real one."""
    latency_s: float = 1.0
    """Mean time from creation to the end of a prediction."""
    latency_spread: float = 0.25
    """Share of the mean by which a prediction is faster or slower at most."""
    starting_share: float = 0.2
    """Share of a prediction's time that it spends in `starting`."""
    cold_boot_s: float = 0.0
    """Added to `starting` of each model's first prediction, and of all that come before it is over."""
    creates_per_min: float = 600.0
    """Replicate docs, "Rate limits", read 2026-11."""
    create_burst: int = 600
    """Tokens in a full bucket; 599 were left after the first create in captured headers (2023-2024)."""
    reads_per_min: float = 3_000.0
    """For everything but creates (same page of the docs)."""
    read_burst: int = 3_000
    wait_stated: WaitStated = "body"
    """The place in a 429 of the time to wait: `body` (as captured), `header` too, or in its `words` only (as in the docs)."""
    picture_kb: int = 100
    """Size of a file in units of 1,000 bytes, at least."""
    shrink: int = 1
    """Divides the sides of every image: small ones are cheap to decode."""
    picture_folder: str = ""
    """Folder of image files, whose names end with png, jpg or webp: they are sent, whatever size was asked for."""
