from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.core.temporary_folder import PREFIX, YOUNG_S, TemporaryFolder, remove_abandoned

HOLDER = """
import sys
from pathlib import Path
from tasks.core.temporary_folder import TemporaryFolder
with TemporaryFolder() as folder:
    Path(folder, "prompts").write_text("a fox")
    print(folder, flush=True)
    sys.stdin.read()
"""
DAY_S = 86_400.0


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place for temporary files of the test's own, which nobody has looked through."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    remove_abandoned.cache_clear()


@contextmanager
def _holder(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process with a temporary folder that was made a day ago."""
    environ = {**os.environ, "TMPDIR": str(place)}
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        _age(folder, DAY_S)
        try:
            yield process, folder
        finally:
            process.kill()


def _age(path: Path, seconds: float) -> None:
    written_s = time.time() - seconds
    os.utime(path, (written_s, written_s))


def test_a_folder_that_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    """Nights that are killed do not fill the disk; the folder of a process that lives stays, however old it is."""
    with _holder(tmp_path) as (_, living), _holder(tmp_path) as (killed_process, killed):
        killed_process.kill()
        killed_process.wait()
        assert (killed / "prompts").is_file()
        with TemporaryFolder() as mine:
            assert {path.name for path in tmp_path.iterdir()} == {living.name, Path(mine).name}
        assert (living / "prompts").is_file()


def test_what_only_looks_abandoned_stays(tmp_path: Path) -> None:
    """A folder that may not be locked yet, another program's, a file, and what a link leads to are left alone."""
    elsewhere = tmp_path / "elsewhere"
    for name in (f"{PREFIX}young", "other-old", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").write_text("")
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}file").write_text("")
    _age(tmp_path / f"{PREFIX}young", YOUNG_S - 60)
    for name in ("other-old", "elsewhere", f"{PREFIX}file"):
        _age(tmp_path / name, DAY_S)
    before = {path.name for path in tmp_path.rglob("*")}
    TemporaryFolder().cleanup()
    assert {path.name for path in tmp_path.rglob("*")} == before
    assert (elsewhere / "kept").is_file()
