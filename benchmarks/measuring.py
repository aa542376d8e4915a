"""Starting a process to measure, and what it took: wall time, its own CPU time, its highest memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_S = 7_200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One process from its start to its end. Instants are seconds since 1970."""

    begun_s: float
    ended_s: float
    samples: list[tuple[float, float]]
    """Instants and the CPU seconds used until then."""
    peak_bytes: int

    @property
    def wall_s(self) -> float:
        """From start to end."""
        return self.ended_s - self.begun_s

    @property
    def cpu_s(self) -> float:
        """User and system."""
        return self.samples[-1][1]

    def cpu_since_s(self, instant_s: float) -> float:
        """The resources used from an instant to the end."""
        place = bisect_left(self.samples, instant_s, key=lambda sample: sample[0])
        return self.cpu_s - self.samples[min(place, len(self.samples) - 1)][1]


def measure(module: str, *arguments: str, environ: Mapping[str, str], folder: Path) -> Measured:
    """Call `run` of a module in a process of its own.

    Args:
        module: Its full name.
        arguments: What `run` is given.
        environ: The process's whole environment.
        folder: For the report and the output, which is shown when the process fails.

    Raises:
        RuntimeError: It ended with an exit status other than 0.
    """
    report, log = folder / "measured.json", folder / "measured.log"
    begun_s = time.time()
    with log.open("wb") as file:
        status = subprocess.run(
            [sys.executable, "-m", "benchmarks.process", str(report), module, *arguments],
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            timeout=LONGEST_S,
            check=False,
        ).returncode
    ended_s = time.time()
    if status:
        raise RuntimeError(f"{module} ended with status {status}: {log.read_text()[-2_000:]}")
    return Measured(begun_s=begun_s, ended_s=ended_s, **json.loads(report.read_text()))
