"""Files that ship with imagen and that `imagen init` writes: configuration, manifests, deployments.

A checkout keeps most of them at its root, where Prefect and editors look for them; the wheel carries copies here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from tasks.core.atomic_files import write_atomically
from tasks.core.errors import OutputError
from tasks.core.installation import CHECKOUT
from tasks.core.paths import CONFIG_NAME

MANIFEST_NAME = "prompts.yaml"
BASICS = (CONFIG_NAME, MANIFEST_NAME)
DEMO = ("manifests/demo.yaml", "manifests/manifest.schema.json")
DEPLOYMENTS = ("prefect.yaml", "automations/crashed.yaml", "automations/events.yaml", "automations/notify.yaml", *DEMO)

# The checkout has no configuration beside its deployments; `imagen init` writes both.
_CONFIG_PARAMETER = f"# config: {CONFIG_NAME}".encode()


def find_shipped(name: str) -> Path:
    """The file or folder of this name that ships with imagen."""
    packaged = Path(__file__).parent / name
    # The wheel's copy first: beside an installed package there may be any `prefect.yaml`.
    return packaged if packaged.exists() else CHECKOUT / name


def write_starter(folder: Path, names: Iterable[str] = BASICS) -> tuple[list[Path], list[Path]]:
    """Write shipped files where they do not exist yet.

    Returns:
        The files written, and the files that existed and were kept.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    files = {folder / name: find_shipped(name) for name in names}
    # A user's configuration is never overwritten.
    kept = [path for path in files if path.exists()]
    written = [path for path in files if path not in kept]
    try:
        for path in written:
            write_atomically(path, _name_config(files[path].read_bytes()))
    except OSError as exc:
        raise OutputError(f"Cannot write {folder} ({exc.strerror}). Choose another folder.") from None
    return written, kept


def list_starter_backends() -> tuple[str, ...]:
    """Names of the backends that a new configuration has."""
    return tuple(yaml.safe_load(find_shipped(CONFIG_NAME).read_text(encoding="utf-8"))["backends"])


def _name_config(text: bytes) -> bytes:
    """Let the deployments use the configuration beside them: a flow has the built-in settings where none is named."""
    return text.replace(_CONFIG_PARAMETER, _CONFIG_PARAMETER.removeprefix(b"# "))
