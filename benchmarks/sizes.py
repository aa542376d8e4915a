"""The sizes of a measurement: everything in an hour (`full`), a quarter of it, or minutes (`small`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Number of images, how many are in flight, seconds for each, and their size."""

    jobs: int
    in_flight: int
    latency_s: float
    picture_kb: int = 200

    @property
    def title(self) -> str:
        """The case in words."""
        latency = f"{self.latency_s:g} s latency" if self.latency_s else "zero latency"
        return f"{self.jobs:,} pictures of {self.picture_kb} KB, {self.in_flight} in flight, {latency}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The amount of work in each part."""

    rounds: int
    """Runs of each contender, of the engine and of each start."""
    contenders: tuple[Case, ...]
    engine: Case
    """At zero latency, with pictures of full size."""
    scale: tuple[Case, ...]
    """The same at two sizes, at zero latency; the last one is resumed when it is finished."""
    rows: int
    """Of the manifest that is planned, and of the table that is written."""
    rate_min: float
    """Minutes at the account's rate of creates."""


SIZES: Mapping[str, Size] = {
    "small": Size(
        rounds=1,
        contenders=(Case(jobs=200, in_flight=32, latency_s=0.5),),
        engine=Case(jobs=500, in_flight=128, latency_s=0),
        scale=(
            Case(jobs=500, in_flight=128, latency_s=0, picture_kb=20),
            Case(jobs=1_000, in_flight=128, latency_s=0, picture_kb=20),
        ),
        rows=20_000,
        rate_min=0.5,
    ),
    "medium": Size(
        rounds=3,
        contenders=(Case(jobs=1_000, in_flight=64, latency_s=1),),
        engine=Case(jobs=5_000, in_flight=256, latency_s=0),
        scale=(
            Case(jobs=1_000, in_flight=256, latency_s=0, picture_kb=20),
            Case(jobs=10_000, in_flight=256, latency_s=0, picture_kb=20),
        ),
        rows=100_000,
        rate_min=2,
    ),
    "full": Size(
        rounds=3,
        contenders=(
            Case(jobs=1_000, in_flight=64, latency_s=1),
            Case(jobs=5_000, in_flight=128, latency_s=0.5),
        ),
        engine=Case(jobs=5_000, in_flight=256, latency_s=0),
        scale=(
            Case(jobs=10_000, in_flight=256, latency_s=0, picture_kb=20),
            Case(jobs=100_000, in_flight=256, latency_s=0, picture_kb=20),
        ),
        rows=1_000_000,
        rate_min=5,
    ),
}
