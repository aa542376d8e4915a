from __future__ import annotations

import shlex
import shutil
import sys
import sysconfig
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from tasks.core.installation import CHECKOUT, DISTRIBUTION, get_version, install_command, list_requirements

DECLARED = [
    "prefect>=3.9",
    'tomli>=2; python_version < "3.0"',
    "matplotlib>=3.10; extra == 'gallery'",
    'plotter[fast]>=1; extra == "gallery" and python_version >= "3.0"',
    'ancient>=1; extra == "gallery" and python_version < "3.0"',
    "prefect-ray>=0.6; extra == 'ray'",
]


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata of an installed distribution."""
    monkeypatch.setattr(metadata, "requires", lambda name: DECLARED if name == DISTRIBUTION else None)
    monkeypatch.setattr(metadata, "version", lambda _: "1.2.3")


@pytest.mark.usefixtures("declared")
def test_a_hint_names_the_packages_of_the_extra_and_this_python() -> None:
    """It works in any shell, and never asks an index for imagen itself."""
    words = shlex.split(install_command("gallery"))
    assert words == [sys.executable, "-m", "pip", "install", "matplotlib>=3.10", "plotter[fast]>=1"]
    assert get_version() == "1.2.3"


@pytest.mark.usefixtures("declared")
def test_an_environment_without_pip_uses_uv_or_brings_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """`uv tool install` makes environments without pip."""
    monkeypatch.setattr(PathFinder, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/uv")
    assert shlex.split(install_command("ray")) == [
        "uv",
        "pip",
        "install",
        "--python",
        sys.executable,
        "prefect-ray>=0.6",
    ]
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert install_command("ray").startswith(f"{sys.executable} -m ensurepip && {sys.executable} -m pip install ")


@pytest.mark.usefixtures("declared")
def test_a_hint_changes_no_later_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import hooks hear nothing of the search for pip: setuptools' one would swap `distutils` for the rest of the process."""
    asked = []

    class Hook:
        def find_spec(self, name: str, *_: object) -> None:
            asked.append(name)

    monkeypatch.setattr(sys, "meta_path", [Hook(), *sys.meta_path])
    install_command("gallery")
    assert "pip" not in asked


@pytest.mark.usefixtures("declared")
def test_a_path_with_spaces_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter may lie in `Application Support`."""
    monkeypatch.setattr(sys, "executable", "/Users/me/Application Support/bin/python")
    assert shlex.split(install_command("ray"))[0] == "/Users/me/Application Support/bin/python"


@pytest.mark.usefixtures("declared")
def test_a_managed_system_python_is_told_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian's pip refuses otherwise; in a virtual environment nothing is overridden."""
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert "--break-system-packages" not in install_command("ray")
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    assert "--break-system-packages" in install_command("ray")


def test_a_checkout_that_was_never_installed_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Prefect worker runs a clone from its folder, without metadata."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    monkeypatch.setattr(metadata, "version", missing)
    assert list_requirements("s3") == [f"{CHECKOUT}[s3]"]
    assert (CHECKOUT / "pyproject.toml").is_file()
    assert get_version() == "unknown"
