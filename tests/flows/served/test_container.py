"""The files for containers, as far as they can be checked without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.support.services.prefect_service import ROOT
from tests.support.waiting import PATIENCE_S

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = (DEPLOY / "compose.yaml").read_text()


def build_context() -> list[Path]:
    """What `.dockerignore` lets into the build, relative to the root."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    return [Path(name) for name in allowed]


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        (["run", "m.yaml"], "imagen run m.yaml"),
        ([], "imagen "),
        (["--version"], "imagen --version"),
        (["prefect", "flow-run", "execute"], "prefect flow-run execute"),
    ],
)
def test_the_entry_point_starts_imagen_or_prefects_job(arguments: list[str], started: str, tmp_path: Path) -> None:
    """Arguments are imagen's, but a worker's `prefect flow-run execute` is started as it is."""
    for name in ("imagen", "prefect"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*"\n')
        program.chmod(0o755)
    # As in the image, `python` is the one that has imagen.
    (tmp_path / "python").symlink_to(sys.executable)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [DEPLOY / "entrypoint.sh", *arguments], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip("\n") == started


def test_the_build_gets_what_the_wheel_is_made_of() -> None:
    """Every file that the build needs is let in, exists, and no folder with secrets or images is."""
    context = build_context()
    assert all((ROOT / path).exists() for path in context)
    pyproject = (ROOT / "pyproject.toml").read_text()
    copied = re.findall(r'^"([^"]+)" = "tasks/core/starter/', pyproject, re.MULTILINE)
    for needed in ("pyproject.toml", "README.md", "constraints.txt", "flows", "tasks", *copied):
        assert any(Path(needed).is_relative_to(path) for path in context), needed
    assert not any(fnmatch(path.name, pattern) for path in context for pattern in ("runs", ".env*", "*.env", "tests"))


def test_the_image_runs_without_root() -> None:
    """A number, so that Kubernetes sees it too; versions are pinned; the state folder is one that everybody may write."""
    assert re.search(r"^USER \d{4,}$", DOCKERFILE, re.MULTILINE)
    assert "--constraint constraints.txt" in DOCKERFILE
    assert "XDG_STATE_HOME=/state" in DOCKERFILE


def test_the_compose_file_asks_for_every_secret() -> None:
    """A variable without a value stops it, but for tokens of services that are not used; nothing listens to everybody."""
    compose = yaml.safe_load(COMPOSE)
    assert set(compose["services"]) == {"database", "store", "prefect", "worker"}
    asked = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    assert set(re.findall(r"\$\{(\w+)", COMPOSE)) - asked == {"REPLICATE_API_TOKEN"}
    assert all(f"{name}=" in COMPOSE for name in asked)
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.soak
def test_the_steps_of_the_build_give_a_working_program(tmp_path: Path) -> None:
    """The build's own commands in an empty folder; the program runs with a state folder and nothing else."""
    source, target = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    for path in build_context():
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / path, source / path)
    build_stage = DOCKERFILE.split("\nFROM ")[1].replace("$EXTRAS", "s3,gallery").replace("/opt/imagen", str(target))
    steps = re.findall(r"^RUN (.*)$", build_stage, re.MULTILINE)
    assert len(steps) == 2
    for step in steps:
        command = step.replace("python -m venv", f"{sys.executable} -m venv")
        done = subprocess.run(["sh", "-ec", command], cwd=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    work, state = tmp_path / "work", tmp_path / "state"
    work.mkdir()
    environ = {"PATH": f"{target / 'bin'}:/usr/bin:/bin", "HOME": str(state), "XDG_STATE_HOME": str(state)}
    done = subprocess.run(
        ["imagen", "try", "a fox", "--out", "out"], cwd=work, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(work.glob("out/images/*/*"))


LATE = """
import signal, sys, time
def drain(*_):
    print("drained", flush=True)
    sys.exit(5)
print("loading", flush=True)
while not sys.stdin.read(1):
    pass
signal.signal(signal.SIGTERM, drain)
while True:
    time.sleep(0.1)
"""
"""A flow's process, which catches SIGTERM only once it has been loaded."""
DEAF = f"""
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "-c", {LATE!r}]).returncode)
"""
"""Prefect's command above it, which does not catch SIGTERM at all."""
RUN = """
import signal, sys, time
def land(*_):
    print("landed", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, land)
print("ready", flush=True)
while True:
    time.sleep(0.1)
"""
WORKER = f"""
import signal, subprocess, sys, time
def kill(*_):
    run.kill()
    print("worker told", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, kill)
run = subprocess.Popen([sys.executable, "-c", {RUN!r}])
run.wait()
while True:
    time.sleep(0.1)
"""
"""Prefect's worker, which is no friend of its runs; it collects the one that ended."""


def test_a_signal_reaches_the_flow_below_prefects_command() -> None:
    """Told to end while the flow is still loading, the container drains as soon as the flow can, and keeps its status."""
    command = [sys.executable, "-m", "flows.container", sys.executable, "-c", DEAF]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == "loading\n"
        first.terminate()
        first.stdin.write("x")
        first.stdin.flush()
        assert first.communicate(timeout=PATIENCE_S)[0] == "drained\n"
    assert first.returncode == 5


@pytest.mark.parametrize(("program", "status"), [("no-such-program", 127), ("false", 1), ("true", 0)])
def test_the_container_ends_as_its_program(program: str, status: int) -> None:
    """A program that is not there is one line, and no traceback."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows.container", program]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
