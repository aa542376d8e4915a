"""The default output folder of a manifest, said aloud where it is not the one that its name suggests."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tasks.core.paths import get_default_out, has_ledger
from tasks.manifest import Manifest


def choose_out(manifest: Manifest) -> str:
    """The folder; a second manifest of one name gets one of its own, and standard error tells which."""
    usual = get_default_out(manifest.name)
    if not has_ledger(Path(usual)):  # a new folder needs no database, and none is loaded
        return usual
    from tasks.runs.other_manifests import choose_default_out

    chosen = asyncio.run(choose_default_out(manifest))
    if chosen != usual:
        sys.stderr.write(f"{usual} belongs to another manifest, so {manifest.display} goes to {chosen}\n")
    return chosen
