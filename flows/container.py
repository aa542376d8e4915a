"""First process of a container: starts a program, passes SIGTERM on to whoever heeds it, and collects what has ended.

A container's end is a SIGTERM to its first process only, and the kernel drops it there unless it is caught. Prefect's
`prefect flow-run execute`, which the jobs of work pools start, does not catch it (3.9.1, 2026-11), and the process of
the flow below it would never hear of it: images in flight would be paid for and lost with the SIGKILL that follows.
So it goes to every process that catches it, once each, as soon as it does: also to one that is still loading.
A worker that hears of it sends SIGKILL to its runs at once (3.9.1, 2026-11). It is told when they have ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

LOOK_S = 0.1
SIGNALS = (signal.SIGTERM, signal.SIGINT)
NOT_FOUND_STATUS, SIGNAL_STATUS = 127, 128
"""Exit statuses as shells give them."""
PROC = Path("/proc")


def tell_processes(came: Iterable[int], told: set[tuple[int, int]], runs: Collection[int] = ()) -> None:
    """Send each signal that came to every process below that catches it, and note it in `told` by pid and signal.

    As long as one of `runs` is there, no other process is told.
    """
    for number in dict.fromkeys(came):
        below = find_descendants(os.getpid())
        for pid in [pid for pid in below if pid in runs] or below:
            if (pid, number) not in told and does_catch(pid, number):
                told.add((pid, number))
                with suppress(ProcessLookupError):
                    os.kill(pid, number)


def find_descendants(top: int) -> list[int]:
    """Find the processes below `top`, as the system lists them now."""
    parents: dict[int, int] = {}
    for entry in PROC.iterdir():
        with suppress(OSError, ValueError, IndexError):  # it ended, or is no process
            # The name before the last parenthesis may hold spaces; state and parent follow it.
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: list[int] = []
    left = [top]
    while left:
        below = [pid for pid, parent in parents.items() if parent == left[0]]
        found, left = found + below, left[1:] + below
    return found


def does_catch(pid: int, number: int) -> bool:
    """Return True where the process has a handler for the signal; without one it would die of it, or never hear it."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (PROC / str(pid) / "status").read_text().splitlines()
        caught = next(line for line in lines if line.startswith("SigCgt:")).split()[1]
        return bool(int(caught, 16) >> (number - 1) & 1)
    return False


def find_runs(command: list[str], worker: int) -> list[int]:
    """Find the runs that a Prefect worker has in its hands; none where the command starts something else."""
    # As `prefect worker start`, or with an interpreter and its `-m` before it.
    if ["worker", "start"] not in (command[1:3], command[3:5]):
        return []
    return [pid for pid in find_descendants(worker) if does_catch(pid, signal.SIGTERM)]


def main(command: list[str]) -> int:
    """Run a command to its end and return its exit status."""
    came: list[int] = []
    told: set[tuple[int, int]] = set()
    runs: list[int] | None = None

    def note(number: int, _: object) -> None:
        # A second one of a kind is told again, because it means to stop at once.
        told.difference_update([pair for pair in told if pair[1] == number])
        came.append(number)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        program = subprocess.Popen(command)  # noqa: S603  what the container was started with
    except OSError as exc:
        sys.stderr.write(f"{command[0]}: {exc.strerror}\n")
        return NOT_FOUND_STATUS
    while True:
        if came and runs is None:
            # Those of now: with the ones that the worker still starts, it would never be told.
            runs = find_runs(command, program.pid)
        tell_processes(came, told, runs or ())
        # Of all children: the first process inherits those of processes that ended.
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == program.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNAL_STATUS - code
        if not ended:
            time.sleep(LOOK_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
