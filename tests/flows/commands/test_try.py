"""`imagen try`: one prompt, no file, no Prefect, and the same ledger, budget, usage row and output as a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.flows.conftest import Cli

NO_PREFECT = "import sys; sys.modules['prefect'] = None"
"""Whatever imports it fails."""

HEAVY = (
    *("prefect", "fastapi", "starlette", "uvicorn", "jsonschema", "opentelemetry"),
    *("pandas", "matplotlib", "torch", "datasets", "ray", "distributed"),
    *("httpx", "aiohttp", "replicate", "openai", "obstore", "huggingface_hub", "python_calamine"),
    *("asyncpg", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql", "pyarrow.dataset", "pyarrow.flight"),
)
"""None is needed for a sketch; each takes from 20 ms to seconds to import, and is found where all extras and test libraries are installed."""
LOADED = f"""
import sys
from flows.start import main
try:
    main()
finally:
    print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
"""


@pytest.fixture
def trial(offline: Cli) -> Cli:
    """The command line, in a process where Prefect cannot be imported."""
    offline.before = NO_PREFECT
    return offline


def test_a_prompt_becomes_an_image_whose_path_is_printed(trial: Cli) -> None:
    """Standard output is the path alone; table, usage row and summary are there as after a run."""
    done = trial.run("try", "a red fox")
    assert done.returncode == 0, done.stderr
    [path] = done.stdout.splitlines()
    with Image.open(trial.folder / path) as image:
        assert image.format == "PNG"
    out = Path(path).parents[2]
    [row] = pq.read_table(trial.folder / out / "metadata.parquet").to_pylist()
    assert (row["prompt"], row["status"]) == ("a red fox", "succeeded")
    assert trial.json("usage")["total"]["images"] == 1
    assert json.loads((trial.folder / out / "summary.json").read_text())["images"] == 1


def test_nothing_heavy_is_loaded_for_a_sketch(tmp_path: Path) -> None:
    """A first image in about a second: a library that it does not need is not imported, whoever would do so in passing."""
    command = [sys.executable, "-c", LOADED, "try", "a red fox", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_the_same_prompt_again_is_found_and_more_samples_are_added(trial: Cli) -> None:
    """Nothing is made twice; another prompt gets a folder of its own."""
    first = trial.run("try", "a red fox").stdout
    again = trial.json("try", "a red fox")
    assert (again["generated"], again["paths"]) == (0, first.splitlines())
    more = trial.json("try", "a red fox", "--samples", "3")
    assert (more["generated"], len(more["paths"])) == (2, 3)
    assert set(first.splitlines()) < set(more["paths"])
    assert trial.json("try", "a red fox!")["out"] != more["out"]


def test_a_folder_that_has_a_batch_keeps_its_rows(trial: Cli) -> None:
    """Trying a prompt adds to a folder and withdraws nothing."""
    trial.json("try", "one", "--out", "here")
    assert trial.json("try", "two", "--out", "here")["images"] == 2


def test_a_budget_that_does_not_suffice_stops_before_anything_is_made(trial: Cli) -> None:
    """The price is known before; the reason is told and the exit status is that of a stopped run."""
    trial.config(price_usd=0.04)
    done = trial.run("try", "a red fox", "--budget", "0.03")
    assert (done.returncode, done.stdout) == (3, "")
    assert "budget" in done.stderr


def test_a_failure_tells_its_reason(trial: Cli) -> None:
    """No path, exit status 1, and what the backend said."""
    trial.config(failure_rate=1)
    done = trial.run("try", "a red fox")
    assert (done.returncode, done.stdout) == (1, "")
    assert "failed: " in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a", "red", "fox"), "imagen try 'a red fox'"),
        ((" ",), "PROMPT is empty"),
        (("\u200b",), "PROMPT is empty"),
        (("-",), 'imagen try "$(cat prompt.txt)"'),
        (("x" * 40_000,), "PROMPT: prompt: is 40000 characters long"),
        (("-a red fox",), "imagen try -- '-a red fox'"),
        (("--quiet", "-h is the letter of hats"), "imagen try --quiet -- '-h is the letter of hats'"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(words: tuple[str, ...], said: str, trial: Cli) -> None:
    """Forgotten quotes and a leading dash are told with the command as it was meant; no problem names a file of ours."""
    done = trial.run("try", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "tmp" not in done.stderr
    assert not (trial.folder / "runs").exists()


def test_a_prompt_behind_two_dashes_may_begin_with_one(trial: Cli) -> None:
    """The remedy works as it is printed, and a value of an option needs none."""
    done = trial.run("try", "--out", "- my folder", "--", "-a red fox")
    assert done.returncode == 0, done.stderr
    [row] = pq.read_table(trial.folder / "- my folder" / "metadata.parquet").to_pylist()
    assert row["prompt"] == "-a red fox"


def test_what_went_wrong_beside_the_image_is_told(trial: Cli) -> None:
    """A usage row that could not be pushed is a warning, also where every image is there."""
    (trial.folder / "imagen.yaml").write_text("usage: {path: /dev/null/usage.db}")
    done = trial.run("try", "a red fox")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    assert "warning: " in done.stderr
    assert "imagen usage push" in done.stderr


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("flux-schnell-replicate", "imagen init"),
        ("gemini", "imagen init --backend gemini"),
        ("nonsense", "are: sketch"),
    ],
)
def test_a_backend_that_is_known_and_not_configured_is_told_with_its_command(
    name: str, advice: str, trial: Cli
) -> None:
    """A name from the documentation needs a configuration first, and the message has the command that writes it."""
    done = trial.run("try", "a red fox", "--backend", name)
    assert done.returncode == 2
    assert done.stderr.endswith(f"{advice}\n")
