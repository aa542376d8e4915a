"""The process from outside: its version, its other way to be called, and systems that cannot run it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flows.start import refuse_windows
from tests.flows.conftest import Cli
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


def test_the_version_and_the_environment_are_printed(offline: Cli) -> None:
    """It is what a report of a problem needs."""
    done = offline.run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("imagen ")
    assert sys.prefix in done.stdout


def test_python_can_run_it_as_a_module(offline: Cli) -> None:
    """`python -m flows` is for environments whose programs are not on the PATH."""
    process = offline.start_program(sys.executable, "-m", "flows", "--help")
    assert "Usage: imagen " in process.communicate(timeout=PATIENCE_S)[0]


def test_windows_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names what to use instead; other systems pass."""
    with pytest.raises(SystemExit) as left:
        refuse_windows("nt")
    assert left.value.code == 2
    assert "WSL" in capsys.readouterr().err
    refuse_windows("posix")


def test_init_writes_deployments_that_need_no_checkout(offline: Cli) -> None:
    """Flows are named by module; the manifest that a deployment names is written beside it, and files are kept."""
    (offline.folder / "imagen.yaml").write_text("backends: {}\n")
    done = offline.run("init", ".", "--deployments")
    assert done.returncode == 0
    assert (offline.folder / "imagen.yaml").read_text() == "backends: {}\n"
    deployments = (offline.folder / "prefect.yaml").read_text()
    assert "flows.generate_batch.generate_batch" in deployments
    assert "flows/" not in deployments
    for name in ("manifests/demo.yaml", "manifests/manifest.schema.json", "automations/notify.yaml"):
        assert (offline.folder / name).read_bytes() == (ROOT / name).read_bytes()
