"""This installation of imagen: its name and version, and the command that adds an optional part to it."""

from __future__ import annotations

import shlex
import shutil
import sys
import sysconfig
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

DISTRIBUTION = "imagen-batch"
"""Name of the distribution. `imagen` on the package index is another project."""
CHECKOUT = Path(__file__).parents[2]
"""Root of the source tree; in an installed wheel, the folder of all packages."""


def get_version() -> str:
    """The installed version; `unknown` in a checkout that was never installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


def install_command(extra: str) -> str:
    """A shell command that installs an optional part into the environment that runs this process.

    It names the packages themselves, so it never fetches imagen (or a stranger's package of that name) from an index.
    """
    return " ".join([_build_installer(), shlex.join(list_requirements(extra))])


def list_requirements(extra: str) -> list[str]:
    """Requirements of an optional part on this system; in a checkout without metadata, the checkout with the extra."""
    from packaging.requirements import Requirement  # noqa: PLC0415  only a hint needs it

    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return [f"{CHECKOUT}[{extra}]"]
    wanted = []
    for requirement in map(Requirement, declared):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            continue  # a dependency of imagen itself
        if requirement.marker.evaluate({"extra": extra}):
            requirement.marker = None  # it holds here, and a shell command cannot say it
            wanted.append(str(requirement))
    return wanted


def _build_installer() -> str:
    python = shlex.quote(sys.executable)
    # Not `importlib.util.find_spec`: setuptools' import hook takes a search for pip for pip's own start, and from
    # then on gives this process another `distutils`, with which torch cannot build its quantisation.
    if PathFinder.find_spec("pip") is not None:
        return f"{python} -m pip install{_build_override_for_system_python()}"
    if shutil.which("uv"):  # environments of `uv tool` and `uv venv` hold no pip
        return f"uv pip install --python {python}"
    return f"{python} -m ensurepip && {python} -m pip install"


def _build_override_for_system_python() -> str:
    """Debian and others mark their own Python as managed; pip installs there only when told to."""
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return " --break-system-packages" if sys.prefix == sys.base_prefix and marker.exists() else ""
