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
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
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
