"""A model on this machine as its users meet it: the command line, a folder with a real pipeline, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.flows.conftest import NOWHERE, Cli


def configure(cli: Cli, model: str | Path, **options: Any) -> None:
    """One instance of the tiny pipeline, the default one."""
    instance = {"type": "diffusers", "model": str(model), "default_steps": 2, **options}
    config = {"default_backend": "mine", "backends": {"mine": instance}, "usage": {"sink": "none"}}
    (cli.folder / "imagen.yaml").write_text(json.dumps(config))
    cli.environ |= {"HF_HOME": str(cli.folder / "hub"), "HF_ENDPOINT": NOWHERE, "OMP_NUM_THREADS": "1"}


@pytest.mark.soak
@pytest.mark.server
def test_a_manifest_becomes_pictures_of_a_local_model(cli: Cli, tiny_flux: Path) -> None:
    """Nothing is downloaded and nothing but our own words reaches the screen; a second run has nothing to do."""
    configure(cli, tiny_flux, price_usd=0, backend_opts={"max_sequence_length": 16})
    manifest = cli.manifest(5)
    done = cli.run("run", manifest, "--out", "out", "--budget", "1", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["succeeded"], summary["cost_usd"], summary["cost_unknown"]) == (5, 0, 0)
    for noise in ("transformers", "Warning", "it/s"):
        assert noise not in done.stderr
    table = pq.read_table(cli.folder / "out" / "metadata.parquet").to_pylist()
    assert {(row["width"], row["height"], row["backend_type"]) for row in table} == {(32, 32, "diffusers")}
    assert all(row["prediction_id"] == f"local-{row['job_id'][:20]}-1" for row in table)


@pytest.mark.soak  # loads torch in a process of its own
@pytest.mark.usefixtures("tiny_flux")
def test_a_model_that_is_nowhere_is_one_clear_message(offline: Cli) -> None:
    """Not on the disk and no network: said once, before anything starts."""
    configure(offline, "nobody/flux")
    done = offline.run("run", offline.manifest(20), "--out", "out", "--quiet")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "imagen.yaml: backends.mine: model: nobody/flux is not on this machine" in done.stderr
    assert not (offline.folder / "out").exists()
