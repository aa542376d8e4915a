"""The wheel's journey: built, installed away from the checkout without constraints, and used as a stranger uses it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.core.installation import DISTRIBUTION

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parents[2]
INSTALL_TIMEOUT_S = 900
HINT = re.compile(r"nstall (?:it|what it needs) with: (.* -m pip install [^)\n]*)")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and whatever an index gives with it today."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=INSTALL_TIMEOUT_S)
    [wheel] = folder.glob(f"{DISTRIBUTION.replace('-', '_')}-*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True, timeout=INSTALL_TIMEOUT_S)
    pip = [str(folder / "env/bin/python"), "-m", "pip", "install", "--quiet", str(wheel)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("NOT RUN: the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    return folder / "env/bin"


@pytest.fixture
def run(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a shell command in an empty folder, with the environment's programs first on the PATH."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PATH", f"{installed}:/usr/bin:/bin")

    def call(command: str, *, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_TIMEOUT_S,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return call


def test_the_demo_runs_from_the_wheel(run: Run, tmp_path: Path) -> None:
    """Version, demo manifest, schema, deployments and documentation come with it; nothing of the checkout is needed."""
    assert "unknown" not in run("imagen --version").stdout
    run("imagen init --demo --deployments")
    run("imagen run manifests/demo.yaml")
    assert len(list((tmp_path / "runs/demo/images").rglob("*.png"))) >= 20
    where = run("python -c \"import tasks.core.starter as s; print(s.__file__, s.find_shipped('docs'))\"").stdout
    assert str(ROOT) not in where
    assert (Path(where.split()[1]) / "install.md").is_file()
    loads = "from prefect.flows import load_flow_from_entrypoint as load; print(load('flows.generate_batch.generate_batch').name)"
    assert run(f'python -c "{loads}"').stdout.strip() == "generate-batch"


def test_every_hint_is_a_command_that_works(run: Run) -> None:
    """Each printed hint resolves against the index as it stands; nothing called `imagen` is fetched."""
    run("imagen init")
    run("imagen try 'a fox' --out fox")
    said = [
        run("imagen gallery fox").stdout,
        run("imagen run prompts.yaml --out s3://bucket/x", status=2).stderr,
        run("imagen run prompts.yaml --runner dask", status=2).stderr,
        run("imagen run prompts.yaml --runner ray", status=2).stderr,
        run("imagen backends").stdout,
    ]
    hints = [hint for text in said for hint in HINT.findall(text)]
    assert len(hints) == len(said), said
    for hint in hints:
        assert "imagen" not in hint.split(" -m pip install ")[1]
        run(f"{hint} --dry-run --quiet")
