"""The cause of a temporary server's failure: the last error of its output, or a disk that takes nothing more."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryFile

# Bytes of the log that are read for its cause; a failed start writes far less.
TAIL_BYTES = 65_536
PROBE_BYTES = 4 * 1024 * 1024
"""More than a new database of Prefect's takes."""
ERROR_LINE = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b.*:")
"""The end of a traceback: `sqlite3.OperationalError: unable to open database file`."""

INVALID_SETTING = re.compile(r"ValidationError: \d+ validation errors? for (\w+)$")
"""Two lines follow: the setting, and what is wrong with it."""


def find_disk_problem(folder: Path) -> str | None:
    """The system's words where files can no longer be written here; None where they can."""
    try:
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as exc:
        return f"nothing can be written into {folder} ({exc.strerror}); free space there, or set XDG_STATE_HOME"
    return None


def find_cause(log: Path) -> str | None:
    """The line of a server's output that says why it ended: its last error, else its last line; None: no output."""
    # A log that was never written means that the process did not even begin.
    if not log.is_file():
        return None
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    # The last error of a traceback is the one that says what happened; a bare last line is better than none.
    errors = [number for number, line in enumerate(lines) if ERROR_LINE.match(line)]
    last = errors[-1] if errors else len(lines) - 1
    if lines and (settings := INVALID_SETTING.search(lines[last])) and last + 2 < len(lines):
        return f"a setting of Prefect cannot be used ({settings[1]}.{lines[last + 1]}: {lines[last + 2].partition(' [')[0]})"
    return lines[last] if lines else None
