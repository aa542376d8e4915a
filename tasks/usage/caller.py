"""On whose behalf a batch runs.

The first that is known of: `MAI_FROM_ID`, the tmux pane's `@mai-name`, the deployment of a scheduled run, the login as
user@host. `unknown` stands only where nothing is known.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping

UNKNOWN = "unknown"
LONGEST = 200
"""Characters kept of a name: the usage table has an index on it."""
# Seconds; tmux answers at once or not at all.
TMUX_TIMEOUT_S = 2.0


def resolve_caller(environ: Mapping[str, str], *, deployment: str | None = None) -> str:
    """The caller's name; never empty, never an error.

    Args:
        environ: The environment of the run.
        deployment: Name of the deployment that started the run; None where a person did.
    """
    # An empty variable is no name: somebody exported it without a value.
    name = environ.get("MAI_FROM_ID", "").strip() or _read_pane_name(environ) or (deployment or "").strip()
    # Bytes that are no UTF-8 come out of the environment as half characters, which no database takes.
    return (name or _read_login(environ) or UNKNOWN)[:LONGEST].encode(errors="replace").decode()


def _read_login(environ: Mapping[str, str]) -> str:
    """`user@host`; empty where the user has no name (a container without a passwd entry)."""
    user = next((name for key in ("LOGNAME", "USER", "USERNAME") if (name := environ.get(key, "").strip())), "")
    if not user:
        try:
            import pwd  # noqa: PLC0415  not on every system

            user = pwd.getpwuid(os.getuid()).pw_name
        except (ImportError, KeyError, AttributeError):
            return ""
    return f"{user}@{socket.gethostname()}"


def _read_pane_name(environ: Mapping[str, str]) -> str:
    """The tmux pane's option; empty outside of tmux and where it is not set.

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
