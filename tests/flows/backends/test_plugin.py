"""A backend of another package: installed, it is found by its entry point and runs like ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.flows.conftest import Cli
from tests.support.waiting import PATIENCE_S

EXAMPLE = Path(__file__).parents[2] / "plugin_example"
ROOT = EXAMPLE.parents[1]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A folder with the example installed as pip installs it (`pip install --target`): its package and its metadata."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    target = tmp_path / "site"
    shutil.copytree(EXAMPLE / "imagen_example", target / "imagen_example")
    metadata = target / f"imagen_example-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.3\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    [(group, points)] = project["entry-points"].items()
    (metadata / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()))
    return target


def test_an_installed_plugin_is_a_backend_like_ours(plugin: Path, offline: Cli) -> None:
    """It can be configured, says what is missing, and is named where a type is misspelt."""
    offline.environ["PYTHONPATH"] += os.pathsep + str(plugin)
    config = offline.folder / "imagen.yaml"
    config.write_text(json.dumps({"default_backend": "mine", "backends": {"mine": {"type": "example"}}}))
    assert "not configured (set EXAMPLE_KEY)" in offline.run("backends").stdout
    offline.environ["EXAMPLE_KEY"] = "ex"
    assert offline.json("backends")[0]["status"] == "ok"
    assert offline.run("plan", offline.manifest(2)).returncode == 0
    config.write_text(json.dumps({"default_backend": "mine", "backends": {"mine": {"type": "exampel"}}}))
    assert "there are: comfyui, diffusers, example," in offline.run("backends").stdout


def test_a_broken_plugin_hides_nobody(plugin: Path, offline: Cli) -> None:
    """A package whose code is gone or does not import is named with its reason; the other backends are listed."""
    shutil.rmtree(plugin / "imagen_example")
    offline.environ["PYTHONPATH"] += os.pathsep + str(plugin)
    instances = {"mine": {"type": "example"}, "mock": {"type": "sketch"}}
    (offline.folder / "imagen.yaml").write_text(json.dumps({"default_backend": "mock", "backends": instances}))
    mine, mock = offline.json("backends")
    assert "'example' cannot be loaded (ModuleNotFoundError" in mine["status"]
    assert mock["status"] == "ok"


def test_the_example_passes_the_conformance_suite_as_a_package_of_its_own(plugin: Path, tmp_path: Path) -> None:
    """With pytest, pytest-asyncio and nothing of our tests: as its authors run it."""
    shutil.copy(EXAMPLE / "check_example.py", tmp_path / "test_example.py")
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{plugin}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "failed" not in done.stdout
