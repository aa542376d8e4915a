"""The configuration that `imagen init` writes: every setting stands in it with its default."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from tasks.backends.diffusers_local.options import DiffusersOptions
from tasks.backends.fal.options import FalOptions
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.replicate.options import ReplicateOptions
from tasks.backends.sketch.backend import SketchOptions
from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.starter import find_shipped


def test_the_starter_configuration_shows_every_default(tmp_path: Path) -> None:
    """What `imagen init` writes changes nothing, and names every setting there is."""
    (tmp_path / "imagen.yaml").write_text(find_shipped("imagen.yaml").read_text())
    written = load_settings(tmp_path / "imagen.yaml")
    built_in = Settings()
    assert written.model_dump(exclude={"backends"}) == built_in.model_dump(exclude={"backends"})
    assert (
        written.backends["sketch"].model_dump(exclude=set(written.backends["sketch"].options))
        == built_in.backends["sketch"].model_dump()
    )


def test_the_starter_configuration_explains_every_setting_of_a_described_api(tmp_path: Path) -> None:
    """Its own and those of its calls; together they are an API that can be used."""
    (tmp_path / "imagen.yaml").write_text(find_shipped("imagen.yaml").read_text())
    written = load_settings(tmp_path / "imagen.yaml").backends["any-json-api"].options
    assert set(written) == set(HttpOptions.model_fields)
    options = HttpOptions.model_validate(written)
    assert options.find is not None
    sections = {name: getattr(options, name) for name in ("create", "poll", "cancel", "find", "state", "output")}
    for name, section in sections.items():
        assert set(written[name]) == set(type(section).model_fields), name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sketch", SketchOptions()),
        ("flux-schnell-replicate", ReplicateOptions()),
        ("gpt-image-openai", OpenAIOptions(quality="medium")),
        ("flux-schnell-fal", FalOptions()),
        ("flux-schnell-local", DiffusersOptions(default_steps=4, default_guidance=0.0)),
    ],
)
def test_the_starter_configuration_explains_every_setting_of_a_type(
    name: str, expected: BaseModel, tmp_path: Path
) -> None:
    """Each one stands there with its default, or with what the model needs."""
    (tmp_path / "imagen.yaml").write_text(find_shipped("imagen.yaml").read_text())
    written = load_settings(tmp_path / "imagen.yaml").backends[name].options
    options = type(expected)
    assert set(written) == set(options.model_fields)
    assert options.model_validate(written) == expected
