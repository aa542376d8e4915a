"""Where a model's files are, and what is said when they are nowhere."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tasks.backends import build_backend
from tasks.backends.base import Backend
from tasks.backends.diffusers_local import model as model_files
from tasks.backends.diffusers_local.model import ModelReference, parse_model
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError
from tests.support.factories import make_job
from tests.support.model_hub import COMMIT, GATED, NAME, UNKNOWN, model_hub

FETCH = """
import sys
from tasks.backends.diffusers_local.model import fetch_model, parse_model
from tasks.core.errors import ConfigError
for line in sys.stdin:
    try:
        print(fetch_model(parse_model(line.strip())), flush=True)
    except ConfigError as exc:
        print(exc, flush=True)
"""


@contextmanager
def fetching(hub: str, cache: Path) -> Iterator[Callable[[str], str]]:
    """A process that uses this hub; asked for a model it gives the folder, or why there is none."""
    environ = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command, pipe = [sys.executable, "-c", FETCH], subprocess.PIPE
    with subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def fetch(name: str) -> str:
            asked.write(f"{name}\n")
            return answers.readline().strip()

        yield fetch


def open_backend(**options: Any) -> Backend:
    """The instance `mine` with these settings."""
    settings = BackendSettings.model_validate({"type": "diffusers", **options})
    return build_backend("mine", Settings(default_backend="mine", backends={"mine": settings}))


def test_a_model_is_a_folder_or_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exists as a folder is one; what looks like a path but does not exist is a folder that is missing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert parse_model("models/mine") == ModelReference(str(tmp_path / "models" / "mine"), is_folder=True)
    assert parse_model("models/other") == ModelReference("models/other", is_folder=False)
    assert parse_model("./models/other") == ModelReference(str(tmp_path / "models" / "other"), is_folder=True)
    assert parse_model("/nowhere/at/all").is_folder


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({}, "the built-in settings: backends.mine.model: '' is not a model; write owner/name"),
        ({"model": "flux"}, "backends.mine.model: 'flux' is not a model"),
        ({"model": "~nobody-of-this-name/flux"}, "is not a model: there is no such user"),
        ({"model": "a/b", "device": "gpu"}, "backends.mine: device: "),
        ({"model": "a/b", "default_width": 100}, "backends.mine: default_width: "),
        ({"model": "a/b", "bach_size": 2}, "backends.mine: bach_size: there is no such setting"),
    ],
)
def test_a_bad_setting_is_named(options: dict[str, Any], fragment: str) -> None:
    """When the instance is built, before torch or any file is touched."""
    with pytest.raises(ConfigError, match=r"backends\.mine") as caught:
        open_backend(**options)
    assert fragment in str(caught.value)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra first, then the folder, then its contents; an id on the hub may still be downloaded."""
    monkeypatch.setattr(model_files, "find_spec", lambda _: None)
    hint = open_backend(model="owner/name").ready() or ""
    assert "pip install" in hint
    assert "diffusers" in hint or "local" in hint
    monkeypatch.setattr(model_files, "find_spec", lambda _: importlib.util.find_spec("json"))
    assert open_backend(model="owner/name").ready() is None
    assert open_backend(model="./nowhere/at").ready() == f"there is no folder {Path('./nowhere/at').absolute()}"
    assert (
        open_backend(model=str(tmp_path)).ready() == f"{tmp_path} holds no model_index.json: it is not a saved pipeline"
    )
    (tmp_path / "model_index.json").write_text("{}")
    assert open_backend(model=str(tmp_path)).ready() is None


@pytest.mark.soak
def test_a_model_is_downloaded_once(tiny_flux: Path, tmp_path: Path) -> None:
    """From then on no network is needed; what cannot be had is one clear line each."""
    with ExitStack() as stack:
        with model_hub(tiny_flux) as hub:
            fetch = stack.enter_context(fetching(hub, tmp_path))
            folder = fetch(NAME)
            assert Path(folder).name == COMMIT
            assert fetch(GATED).startswith(f"model: {GATED} is given to those only who accepted its terms")
            assert fetch(UNKNOWN).startswith(f"model: {UNKNOWN} is not known to the hub")
        assert fetch(NAME) == folder
        assert f"`hf download {UNKNOWN}`" in fetch(UNKNOWN)
        # A download that was cut off is not taken for the model.
        (Path(folder) / "vae" / "diffusion_pytorch_model.safetensors").unlink()
        assert fetch(NAME).startswith(f"model: {NAME} is not on this machine, and the hub cannot be asked for it")


def test_the_rows_are_held_against_the_pipeline(tiny_flux: Path) -> None:
    """What the pipeline takes is known from its class, before its weights are read; `learn` may be asked twice."""
    backend = open_backend(model=str(tiny_flux))
    job = make_job(width=30, negative_prompt="rain", backend_opts={"guidance": 2, "eta": 1})
    assert backend.problems(job) == []
    backend.learn()
    backend.learn()
    assert [problem.partition(":")[0] for problem in backend.problems(job)] == ["width", "negative_prompt", "eta"]


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"device": "cuda:99"}, "device: there is no cuda:99 here"),
        ({"device": "cpu", "offload": "model"}, "offload: model needs a GPU"),
        ({"quantize": "int8", "offload": "sequential"}, "quantize: int8 does not go with offload: sequential"),
    ],
)
def test_a_device_that_is_not_there_is_named(tiny_flux: Path, options: dict[str, Any], fragment: str) -> None:
    """Before anything is sent, with the place of the setting."""
    with pytest.raises(ConfigError, match=r"^the built-in settings: backends\.mine: ") as caught:
        open_backend(model=str(tiny_flux), **options).learn()
    assert fragment in str(caught.value)


@pytest.mark.parametrize(("bits", "fine"), [("int8", True), ("float8", False), ("int4", False)])
def test_bits_that_need_a_compiler_are_refused_without_one(
    tiny_flux: Path,
    monkeypatch: pytest.MonkeyPatch,
    bits: str,
    fine: bool,  # noqa: FBT001  a case
) -> None:
    """When the batch is checked, not after minutes of loading; the words name what goes without."""
    import torch
    from torch.utils import cpp_extension

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", None)
    backend = open_backend(model=str(tiny_flux), quantize=bits)
    with nullcontext() if fine else pytest.raises(ConfigError, match="quantize: int8 needs neither"):
        backend.learn()


@pytest.mark.parametrize(
    ("index", "fragment"),
    [
        ('{"_class_name": "FluxImg2ImgPipeline"}', "FluxImg2ImgPipeline in"),
        ('{"_class_name": "NoSuchPipeline"}', "NoSuchPipeline in"),
        ('{"_class_name": ["pipeline", "Custom"]}', "is no text-to-image pipeline"),
        ("{}", "cannot be read"),
        ("{", "cannot be read"),
    ],
)
@pytest.mark.usefixtures("tiny_flux")
def test_what_is_no_text_to_image_pipeline_is_refused(tmp_path: Path, index: str, fragment: str) -> None:
    """Before anything is sent, by the name in its index."""
    (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ConfigError, match=r"backends\.mine") as caught:
        open_backend(model=str(tmp_path), device="cpu").learn()
    assert fragment in str(caught.value)
