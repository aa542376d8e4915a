"""imagen as its users call it, with its Replicate backend: manifest in, pictures, ledger, Parquet and usage rows out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.work import MODEL, Work, build_prompt

BACKEND = "service"
NO_LIMIT_PER_MIN = 10_000_000.0
FORMATS = {"jpg": "jpeg"}
"""Names of formats that are not the service's."""


def run(work: str) -> None:
    """Do the work, whose manifest and configuration lie in the folder."""
    command.run(*build_run_arguments(Work.parse(work)))


def build_run_arguments(work: Work) -> list[str]:
    """The arguments of `imagen` that do the work, and do it again."""
    folder = Path(work.folder)
    return [
        "run",
        str(get_manifest(folder)),
        "--out",
        str(get_out(folder)),
        "--config",
        str(get_config(folder)),
        "--quiet",
    ]


def get_manifest(folder: Path) -> Path:
    """The manifest that `prepare` writes."""
    return folder / "manifest.jsonl"


def get_config(folder: Path) -> Path:
    """The configuration that `prepare` writes."""
    return folder / "imagen.yaml"


def get_out(folder: Path) -> Path:
    """The output folder of the batch."""
    return folder / "batch"


def prepare(work: Work, *, verify: str = "auto", **backend: Any) -> None:
    """Write manifest and configuration; `backend` overrides settings of the instance."""
    folder = Path(work.folder)
    write_manifest(get_manifest(folder), work.jobs)
    output = {"format": FORMATS.get(work.kind, work.kind), "verify": verify}
    get_config(folder).write_text(json.dumps(_build_settings(work, folder, backend) | {"output": output}))


def write_manifest(path: Path, rows: int) -> None:
    """Write this number of rows, with the prompts that the other contenders send."""
    with path.open("w") as file:
        file.writelines(json.dumps({"id": f"row-{n}", "prompt": build_prompt(n)}) + "\n" for n in range(rows))


def _build_settings(work: Work, folder: Path, backend: Mapping[str, Any]) -> dict[str, Any]:
    instance = {
        "type": "replicate",
        "model": MODEL,
        "api_base": work.api_url,
        "delivery_hosts": ["localhost"],
        "concurrency": work.in_flight,
        # The other contenders keep no limits either.
        "creates_per_min": NO_LIMIT_PER_MIN,
        "requests_per_min": NO_LIMIT_PER_MIN,
        **backend,
    }
    return {
        "default_backend": BACKEND,
        "backends": {BACKEND: instance},
        "usage": {"path": str(folder / "usage.db")},
    }
