"""What `make` leaves behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WITHOUT_VENV = f"""#!/bin/sh
if [ "$2" = venv ]; then mkdir -p .venv/bin; ln -s {sys.executable} .venv/bin/python; exit 1; fi
exec {sys.executable} "$@"
"""
"""A Python as Debian has it without python3-venv: its `venv` fails and leaves an environment without pip."""


def test_an_environment_that_could_not_be_made_is_begun_anew(tmp_path: Path) -> None:
    """Its Python would count as an environment the next time, and pip would install into the system's."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / "python"
    python.write_text(WITHOUT_VENV)
    python.chmod(0o755)
    done = subprocess.run(
        ["make", ".venv/bin/python", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode
    assert not (tmp_path / ".venv/bin/python").is_symlink()
