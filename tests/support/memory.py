"""Memory that a test takes itself, whatever the tests before it in the same process took."""

from __future__ import annotations

from pathlib import Path

import pytest

KIB = 1024
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PEAK_IS_NOW = "5"
"""Has Linux take the memory that is resident now for the highest so far; `ru_maxrss` of `getrusage` cannot be set back."""


class MemoryGrowth:
    """The most memory that this process has had since the object was made, above what it had then."""

    def __init__(self) -> None:
        """Begin to measure."""
        if _CLEAR.exists():
            _CLEAR.write_text(_PEAK_IS_NOW)
        self._before_kib = _read_peak_kib()

    @property
    def bytes(self) -> int:
        """Growth until now; 0 where there is no `/proc` to read it from, as on macOS."""
        return (_read_peak_kib() - self._before_kib) * KIB


def _read_peak_kib() -> int:
    if not _CLEAR.exists():
        return 0
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


@pytest.fixture
def memory_growth() -> MemoryGrowth:
    """Measured from the beginning of the test."""
    return MemoryGrowth()
