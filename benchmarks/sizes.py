"""The sizes of a measurement: everything in two hours (`full`), every target in half an hour (`quick`), or minutes (`small`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

WORDS = {"webp": "WebP", "png": "PNG", "jpg": "JPEG"}
KINDS = tuple(WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Number of images, how many are in flight, seconds for each, their format and size."""

    jobs: int
    in_flight: int
    latency_s: float
    kind: str = "webp"
    """A key of `WORDS`; what FLUX.1 [schnell] sends where nothing else is asked for is WebP."""
    side_px: int = 1024
    without: frozenset[str] = frozenset()
    """Contenders that are left out."""

    @property
    def ideal_s(self) -> float:
        """No run can be quicker."""
        return self.jobs * self.latency_s / self.in_flight

    @property
    def title(self) -> str:
        """The case in words."""
        latency = f"{self.latency_s:g} s latency" if self.latency_s else "zero latency"
        size = f"{self.side_px}x{self.side_px}"
        return f"{self.jobs:,} {WORDS[self.kind]} of {size}, {self.in_flight} in flight, {latency}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The amount of work in each part."""

    rounds: int
    """Runs of each contender and of the engine."""
    starts: int
    """Runs of each start."""
    contenders: tuple[Case, ...]
    floor_from: int = 0
    """First step of the floor that is measured; -1: the last one alone."""
    engine: Case
    """At zero latency."""
    pixels: tuple[Case, ...]
    """At zero latency, one for each size of an image."""
    scale: tuple[Case, ...]
    """The same at two sizes, at zero latency; each is run again and resumed when it is finished."""
    rows: int
    """Of the manifest that is planned, and of the table that is written."""
    rate_min: float
    """Minutes at the account's rate of creates."""
    faults: int
    """Jobs of each kind of trouble."""
    fault_kinds: bool = True
    """Each kind is measured by itself too."""
    backends: tuple[int, int]
    """Jobs of a slow backend, and of a quick one behind them."""
    cold: bool = True
    """Starts with an embedded server are measured too."""


def _in_every_format(case: Case) -> tuple[Case, ...]:
    return tuple(replace(case, kind=kind) for kind in KINDS)


def _at_every_size(jobs: int, *sides_px: int) -> tuple[Case, ...]:
    cases = (Case(jobs=jobs, in_flight=64, latency_s=0, side_px=side_px) for side_px in sides_px)
    # JPEG is the cheapest of the three: what holds for the others holds for it.
    return tuple(replace(case, kind=kind) for case in cases for kind in ("webp", "png"))


_SLOW = Case(jobs=1_000, in_flight=64, latency_s=1)
_QUICK = Case(jobs=5_000, in_flight=128, latency_s=0.5)
_ENGINE = Case(jobs=5_000, in_flight=256, latency_s=0)

QUICK_MIN: Mapping[str, float] = {
    "contenders": 15,
    "floor": 3,
    "engine": 0.5,
    "pixels": 2.5,
    "scale": 2,
    "startup": 1.5,
    "faults": 4,
    "faults_on_dask": 4.5,
    "backends": 1,
    "planning": 0.5,
    "rate": 0.5,
}
"""Minutes of each part at the size `quick` on two quiet cores, as far as the others' figures let them be estimated."""

SIZES: Mapping[str, Size] = {
    "small": Size(
        rounds=1,
        starts=1,
        contenders=(Case(jobs=100, in_flight=32, latency_s=0.5),),
        engine=Case(jobs=200, in_flight=128, latency_s=0),
        pixels=_at_every_size(50, 64, 1024),
        scale=(
            Case(jobs=200, in_flight=128, latency_s=0, side_px=512),
            Case(jobs=500, in_flight=128, latency_s=0, side_px=512),
        ),
        rows=20_000,
        rate_min=0.5,
        faults=200,
        backends=(16, 100),
        cold=False,
    ),
    "quick": Size(
        rounds=1,
        starts=3,
        contenders=(
            *_in_every_format(replace(_SLOW, without=frozenset({"prefect_map"}))),
            # Decoding 5,000 images takes minutes, and the other case shows what it costs.
            *_in_every_format(replace(_QUICK, without=frozenset({"prefect_map", "imagen_decode"}))),
        ),
        floor_from=-1,
        engine=replace(_ENGINE, jobs=3_000),
        pixels=_at_every_size(600, 64, 1024, 2048),
        scale=(
            Case(jobs=1_000, in_flight=256, latency_s=0, side_px=512),
            Case(jobs=10_000, in_flight=256, latency_s=0, side_px=512),
        ),
        rows=50_000,
        rate_min=0.5,
        # As many as the promise is about: of fewer, the wait for the last lost creates is the larger part.
        faults=20_000,
        fault_kinds=False,
        backends=(64, 1_500),
        cold=False,
    ),
    "full": Size(
        rounds=3,
        starts=3,
        contenders=(*_in_every_format(_SLOW), *_in_every_format(_QUICK)),
        engine=_ENGINE,
        pixels=_at_every_size(1_000, 64, 512, 1024, 2048),
        scale=(
            Case(jobs=10_000, in_flight=256, latency_s=0, side_px=512),
            Case(jobs=100_000, in_flight=256, latency_s=0, side_px=512),
        ),
        rows=1_000_000,
        rate_min=5,
        faults=20_000,
        backends=(400, 1_500),
    ),
}
