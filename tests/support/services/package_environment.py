"""Other people's packages in an environment of their own: they pin versions that ours does not have."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

INSTALL_S = 900


def install_packages(*packages: str) -> Path:
    """The Python of an environment with these packages, made once for this checkout; skips the test where it cannot be."""
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    # Inside the environment of the tests, so that `make clean` removes it too.
    folder = Path(sys.prefix) / "packages" / f"{packages[0].split('[')[0].split('=')[0]}-{digest}"
    python, done = folder / "bin/python", folder / "installed"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), "-m", "pip", "install", "--quiet", *packages],
            ):
                _run(command)
            done.touch()
    return python


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except (subprocess.SubprocessError, OSError) as exc:
        words = (getattr(exc, "stderr", "") or str(exc)).strip().splitlines()
        pytest.skip(f"{' '.join(command[-3:])} cannot be installed: {words[-1] if words else exc}")
