"""Start of the process: a clear refusal on systems that cannot run it, and a quiet end for Ctrl-C while it loads."""

from __future__ import annotations

import atexit
import codecs
import contextlib
import gc
import os
import sys
import warnings

if os.name != "nt":  # Windows has no such limits, and is refused below
    import resource

LOADED_OBJECTS = 400_000
"""More than any command loads. Python looks for garbage after 700 new objects, for an eighth of the way to the first submit."""

UNSUPPORTED = """\
imagen: Windows is not supported, because a batch could not be stopped there without losing what is in flight.
Use it in WSL (Windows Subsystem for Linux): install Ubuntu with `wsl --install`, then install imagen there.
"""
UNSUPPORTED_STATUS = 2


def main() -> None:
    """Load the command line and run it; see `flows.cli.main`."""
    # Before anything is imported: an import that fails would hide the reason.
    refuse_windows(os.name)
    read_paths_as_utf8()
    save_memory()
    ignore_warnings()
    # What is loaded stays, and every collection walks all of it.
    gc.set_threshold(LOADED_OBJECTS, *gc.get_threshold()[1:])
    # At its end Python would walk them once more, for a quarter of a second, in a process that is gone at once.
    atexit.register(gc.freeze)
    try:
        from flows.cli import main as run_command  # noqa: PLC0415  it takes a quarter of a second
    except KeyboardInterrupt:
        from tasks.core.errors import INTERRUPTED_STATUS  # noqa: PLC0415  loading it may be what was interrupted

        sys.exit(INTERRUPTED_STATUS)
    run_command()


def refuse_windows(system: str) -> None:
    """Leave with an explanation on Windows, whose event loop takes no signal handlers."""
    if system == "nt":
        sys.stderr.write(UNSUPPORTED)
        sys.exit(UNSUPPORTED_STATUS)


def read_paths_as_utf8() -> None:
    """Start Python anew in its UTF-8 mode where only ASCII would be a name of a file.

    Python chooses that mode itself in the locale C, unless PYTHONUTF8=0 stands in the environment.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name != "ascii" or not sys.executable:
        return
    os.environ["PYTHONUTF8"] = "1"  # for the processes that a run starts
    # The option counts where `python -E` leaves the environment out, and the second start finds another encoding.
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606  this very command


def save_memory() -> None:
    """Keep Arrow from an allocator of its own and, under a limit of memory, NumPy from a buffer for each core."""
    # 10 MB less at the end of a run: the table is written into the room that images have left.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Without it NumPy would end the process.
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def ignore_warnings() -> None:
    """Keep warnings of libraries from users' screens; PYTHONWARNINGS=error would end a run for one of them."""
    warnings.simplefilter("ignore")
    os.environ.pop("PYTHONWARNINGS", None)  # a Prefect server that we start reads it too
