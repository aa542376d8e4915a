"""Scores with weights, by tiny models with random ones: loaded, scaled, and each image beside its own prompt."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import ConfigError
from tasks.scores import load_score
from tasks.scores.base import Sample, ScoreContext
from tests.tasks.scores.images import draw_scene, encode

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("transformers") is None, reason="the extra `local` is not installed"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its processor, as the hub keeps them."""
    import torch  # noqa: PLC0415  seconds, and every test process collects this file
    import transformers  # noqa: PLC0415  likewise

    path = tmp_path_factory.mktemp("clip")
    size = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    vocabulary = {token: number for number, token in enumerate(["<|startoftext|>", "<|endoftext|>", *_list_tokens()])}
    text = {**size, "vocab_size": len(vocabulary), "max_position_embeddings": 77, "eos_token_id": 1, "bos_token_id": 0}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**size, "image_size": 32, "patch_size": 8}, projection_dim=8
    )
    torch.manual_seed(1)
    transformers.CLIPModel(config).save_pretrained(path)
    (path / "vocab.json").write_text(json.dumps(vocabulary))
    (path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(path / "vocab.json"), str(path / "merges.txt"))
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(path)
    return path


def _list_tokens() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz "
    return [*letters, *(f"{letter}</w>" for letter in letters)]


def build_samples() -> list[Sample]:
    """Two images with prompts of their own, one far longer than the model reads."""
    prompts = ["a red fox", "owl " * 200]
    return [Sample(Path(), encode(draw_scene(number)), {"prompt": prompt}) for number, prompt in enumerate(prompts)]


@pytest.mark.parametrize("name", ["clip", "pickscore"])
def test_each_image_is_held_against_its_own_prompt(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Together as alone: the batch has no say in a number."""
    monkeypatch.setenv(f"IMAGEN_{name.upper()}_MODEL", str(folder))
    score = load_score(name, ScoreContext("cpu"))
    together = [result[name] for result in score.measure(build_samples())]
    alone = [score.measure([sample])[0][name] for sample in build_samples()]
    assert together == pytest.approx(alone, abs=1e-3)
    assert together[0] != together[1]
    limit = 1.0 if name == "clip" else 15.0
    assert all(abs(float(value)) <= limit for value in together)


def test_weights_that_are_not_there_are_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the model, and the variable for a folder of one's own."""
    monkeypatch.setenv("IMAGEN_CLIP_MODEL", str(tmp_path))
    with pytest.raises(ConfigError, match=r"clip.*IMAGEN_CLIP_MODEL"):
        load_score("clip", ScoreContext(None))


def test_a_missing_extra_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is loaded."""

    def find(name: str, *_: Any) -> object:
        return None if name == "transformers" else object()

    monkeypatch.setattr("tasks.scores.clip.find_spec", find)
    with pytest.raises(ConfigError, match=r"transformers.*install"):
        load_score("clip", ScoreContext(None))
