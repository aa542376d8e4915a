"""The service that everything is measured against: the project's own simulator, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.backends.replicate_simulator.faults import parse_rule
from tasks.backends.replicate_simulator.server import serve
from tasks.backends.replicate_simulator.settings import Settings

TIMEOUT_S = 120.0
NO_LIMIT_PER_MIN, NO_BURST = 1e9, 1_000_000


@dataclass(frozen=True, slots=True)
class Service:
    """A simulator that is up."""

    url: str

    def truth(self) -> dict[str, Any]:
        """Its own account of what it was asked."""
        with urllib.request.urlopen(f"{self.url}/_simulator/truth", timeout=TIMEOUT_S) as answer:  # noqa: S310  our own
            truth: dict[str, Any] = json.load(answer)
        return truth


def build_unlimited_settings(*, latency_s: float, pictures: Path) -> Settings:
    """A service without limits, which would decide everything else; it sends the files of the folder `pictures`."""
    return Settings(
        latency_s=latency_s,
        picture_kb=0,
        picture_folder=str(pictures),
        creates_per_min=NO_LIMIT_PER_MIN,
        create_burst=NO_BURST,
        reads_per_min=NO_LIMIT_PER_MIN,
        read_burst=NO_BURST,
    )


@contextmanager
def start_simulator(settings: Settings, *faults: str) -> Iterator[Service]:
    """A simulator for the duration of the block; each fault as `imagen simulate --fault` takes it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.simulator", json.dumps(asdict(settings)), *faults],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Service((process.stdout.readline() if process.stdout else "").strip())
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)


if __name__ == "__main__":
    serve(
        Settings(**json.loads(sys.argv[1])),
        faults=map(parse_rule, sys.argv[2:]),
        port=0,
        ready=lambda simulator: print(simulator.url, flush=True),  # noqa: T201  its parent reads it
    )
