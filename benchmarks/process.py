"""Runs inside each measured process: does one thing, and writes down what the process used until its very end.

`python -m benchmarks.process REPORT MODULE ARGUMENT...` calls `run` of the module with the arguments. The report holds CPU time
over time, so that start-up and work are told apart afterwards, and the highest memory.
"""

from __future__ import annotations

import atexit
import json
import resource
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

from benchmarks.installed import as_installed

SAMPLE_EVERY_S = 0.05
KIB = 1024


def read_used_s() -> float:
    """CPU seconds of this process so far, user and system, without its children's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def read_peak_bytes() -> int:
    """The most memory that was resident.

    Linux hands `ru_maxrss` on from the parent to the programs that it starts, so there the kernel's own mark is read.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * KIB


class Samples:
    """CPU time over wall time."""

    def __init__(self, report: Path) -> None:
        """Begin; the report is written when the interpreter has ended everything else."""
        self._report = report
        self._samples: list[tuple[float, float]] = []
        atexit.register(self._write)
        threading.Thread(target=self._keep_on, daemon=True).start()

    def _keep_on(self) -> None:
        while True:
            self._samples.append((time.time(), read_used_s()))
            time.sleep(SAMPLE_EVERY_S)

    def _write(self) -> None:
        samples = [*self._samples, (time.time(), read_used_s())]
        self._report.write_text(json.dumps({"samples": samples, "peak_bytes": read_peak_bytes()}))


if __name__ == "__main__":
    # First of all, for what is registered first ends last.
    Samples(Path(sys.argv[1]))
    as_installed()
    import_module(sys.argv[2]).run(*sys.argv[3:])
