"""On whose behalf a batch runs: `MAI_FROM_ID`, else the tmux pane's `@mai-name`, else `unknown`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

UNKNOWN = "unknown"
LONGEST = 200
"""Characters kept of a name: the usage table has an index on it."""
TMUX_TIMEOUT_S = 2.0


def resolve_caller(environ: Mapping[str, str]) -> str:
    """The caller's name; never empty, never an error."""
    name = environ.get("MAI_FROM_ID", "").strip() or _read_pane_name(environ) or UNKNOWN
    # Bytes that are no UTF-8 come out of the environment as half characters, which no database takes.
    return name[:LONGEST].encode(errors="replace").decode()


def _read_pane_name(environ: Mapping[str, str]) -> str:
    """What tmux knows of the pane; empty outside of tmux and where the option is not set.

    tmux answers with an empty line and exit status 0 for an unset option or a pane that is gone, so only the
    text counts (seen with tmux 3.3a, 2026-11).
    """
    pane = environ.get("TMUX_PANE", "")
    if not environ.get("TMUX") or not pane:
        return ""
    command = ["tmux", "display-message", "-p", "-t", pane, "#{@mai-name}"]
    try:
        answer = subprocess.run(  # noqa: S603  fixed words; the pane id is tmux's own
            command, capture_output=True, text=True, timeout=TMUX_TIMEOUT_S, check=False, env=dict(environ)
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return answer.stdout.strip()
