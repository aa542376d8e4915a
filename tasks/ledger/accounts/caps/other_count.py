"""A second count of the same user on this machine: batches in two state folders keep each cap for themselves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tasks.core.paths import APP
from tasks.ledger.accounts.place import FILE_NAME, get_accounts_file

RECENT_US = 32 * 86_400 * 1_000_000
"""A month: what is older counts for no cap any more."""


def find_other_count(now_us: int) -> Path | None:
    """The count of the home folder, where `XDG_STATE_HOME` leads elsewhere and batches are counted at home too.

    The other way round nobody knows: what is counted at home cannot tell where else a shell has led it.

    Args:
        now_us: Microseconds since 1970 UTC.
    """
    try:
        at_home, used = Path.home() / ".local" / "state" / APP / FILE_NAME, get_accounts_file()
        if not at_home.is_file() or at_home.samefile(used):
            return None
        with closing(sqlite3.connect(f"{at_home.as_uri()}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT 1 FROM spending WHERE from_us > ? LIMIT 1", (now_us - RECENT_US,)).fetchone()
    # Of an older version, damaged, not readable, or a user without a home: nothing is known of it.
    except (OSError, ValueError, RuntimeError, sqlite3.Error):
        return None
    return at_home if found else None
