"""The process from outside: its version, its other way to be called, and systems that cannot run it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flows import cli
from flows.start import refuse_windows
from tests.flows.conftest import Cli
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[3]
ALLOCATOR = """
from flows.start import save_memory
save_memory()
import pyarrow
print(pyarrow.default_memory_pool().backend_name)
"""


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


def test_names_are_utf8_where_the_environment_says_ascii(offline: Cli) -> None:
    """In the locale C with PYTHONUTF8=0, a folder with an umlaut is found, and its name is printed as it is."""
    offline.config()
    (offline.folder / "f\u00fcchse").mkdir()
    (offline.folder / "f\u00fcchse" / "m.csv").write_text("prompt\na fox\n")
    offline.environ |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = offline.start_program(sys.executable, "-m", "flows", "plan", "f\u00fcchse/m.csv")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("f\u00fcchse/m.csv: 1 row")


@pytest.mark.parametrize("given", [None, "mimalloc"])
def test_arrow_writes_into_the_memory_that_images_have_left(offline: Cli, given: str | None) -> None:
    """Its own allocator would take megabytes more at a run's end; a user's choice of one counts."""
    offline.environ.pop("ARROW_DEFAULT_MEMORY_POOL", None)
    if given:
        offline.environ["ARROW_DEFAULT_MEMORY_POOL"] = given
    process = offline.start_program(sys.executable, "-c", ALLOCATOR)
    assert process.communicate(timeout=PATIENCE_S)[0].split() == [given or "system"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libarrow.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_too_little_memory_is_called_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever library runs out of it, the message names the limit and not an internal error."""

    def fail(**_: str) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["imagen", "plan", "m.csv"])
    monkeypatch.setattr(cli, "build_app", lambda _: fail)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 3
    assert "ulimit -v" in capsys.readouterr().err


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
    assert deployments.count("\n      config: imagen.yaml\n") == 2
    for name in ("manifests/demo.yaml", "manifests/manifest.schema.json", "automations/notify.yaml"):
        assert (offline.folder / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize("name", ["flows/__init__.py", "tasks.py"])
def test_init_refuses_deployments_that_could_not_load_our_flows(name: str, offline: Cli) -> None:
    """Prefect imports from the folder of a deployment first; the message has the command for another folder."""
    (offline.folder / name).parent.mkdir(exist_ok=True)
    (offline.folder / name).touch()
    done = offline.run("init", ".", "--deployments")
    assert (done.returncode, "imagen init imagen --deployments" in done.stderr) == (2, True)
    assert not (offline.folder / "prefect.yaml").exists()
