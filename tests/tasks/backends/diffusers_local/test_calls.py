"""What a job becomes and what a pipeline refuses: no model and no torch needed."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.diffusers_local.calls import Signature, build_call, merge_calls
from tasks.backends.diffusers_local.options import DiffusersOptions
from tests.support.factories import make_job

OPTIONS = DiffusersOptions.model_validate({"default_width": 512, "default_height": 256})


def plain(prompt: str, num_inference_steps: int = 50, guidance_scale: float = 7.5, **kwargs: object) -> None:
    """The call of a pipeline without negative prompts, with an open end."""


def flux_like(prompt: str, negative_prompt: str, true_cfg_scale: float = 1.0) -> None:
    """The call of a pipeline that takes a negative prompt with a guidance of its own only."""


@pytest.mark.parametrize(
    ("row", "size"),
    [
        ({"width": 640, "height": 480}, (640, 480)),
        ({"width": None, "height": None}, (512, 256)),
        ({"width": None, "height": None, "aspect_ratio": "1:1"}, (360, 360)),
        ({"width": 640, "height": None, "aspect_ratio": "16:9"}, (640, 360)),
        ({"width": None, "height": 128}, (256, 128)),
    ],
)
def test_the_size_is_the_rows_or_the_instances(row: dict[str, Any], size: tuple[int, int]) -> None:
    """Given sides are kept; what is missing follows the ratio and the default size, in multiples of 8."""
    call = build_call(make_job(**row), OPTIONS)
    assert (call.width, call.height) == size


@pytest.mark.parametrize(
    ("options", "row", "arguments"),
    [
        ({}, {}, {}),
        ({"default_steps": 4, "default_guidance": 0.0}, {}, {"num_inference_steps": 4, "guidance_scale": 0.0}),
        ({"default_steps": 4}, {"steps": 9}, {"num_inference_steps": 9}),
        ({"default_guidance": 1.0}, {"backend_opts": {"guidance": 5}}, {"guidance_scale": 5}),
        ({"default_steps": 4}, {"backend_opts": {"num_inference_steps": None}}, {}),
        ({}, {"backend_opts": {"max_sequence_length": 48}}, {"max_sequence_length": 48}),
    ],
)
def test_a_rows_own_values_win(options: dict[str, Any], row: dict[str, Any], arguments: dict[str, Any]) -> None:
    """The row's, else the instance's, else the pipeline's own; the manifest's guidance gets the pipeline's name."""
    assert build_call(make_job(**row), DiffusersOptions.model_validate(options)).arguments == arguments


@pytest.mark.parametrize(
    "change",
    [
        {"width": 40},
        {"steps": 3},
        {"negative_prompt": "rain"},
        {"backend_opts": {"guidance": 2}},
        {"backend_opts": {"sigmas": [1.0, 0.5]}},
    ],
)
def test_only_calls_alike_go_together(change: dict[str, Any]) -> None:
    """Prompt and seed may differ; whatever the whole pipeline call shares may not."""
    first, alike, other = make_job(0), make_job(1), make_job(2, **change)
    assert build_call(first, OPTIONS).group == build_call(alike, OPTIONS).group
    assert build_call(first, OPTIONS).group != build_call(other, OPTIONS).group


def test_every_image_has_its_own_text() -> None:
    """Prompts and negative prompts are said image by image, a second prompt as often as there are images."""
    jobs = [make_job(n, negative_prompt=f"no {n}", backend_opts={"prompt_2": "ink", "eta": 0.5}) for n in range(2)]
    assert merge_calls([build_call(job, OPTIONS) for job in jobs]) == {
        "prompt": ["a picture of number 0", "a picture of number 1"],
        "negative_prompt": ["no 0", "no 1"],
        "prompt_2": ["ink", "ink"],
        "width": 32,
        "height": 32,
        "eta": 0.5,
    }


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        ({}, []),
        ({"backend_opts": {"guidance": 3.0}}, []),
        ({"width": 100, "height": 36}, ["width: 100 is not a multiple of 8", "height: 36 is not a multiple of 8"]),
        ({"negative_prompt": "rain"}, ["negative_prompt: PlainPipeline takes none"]),
        ({"backend_opts": {"guidanse": 3}}, ["guidanse: PlainPipeline has no such argument"]),
        ({"backend_opts": {"generator": 3}}, ["generator: is no option; a row's own columns say it"]),
        ({"backend_opts": {"output_type": "np"}}, ["output_type: is set by imagen"]),
    ],
)
def test_what_a_pipeline_does_not_take_is_named(row: dict[str, Any], problems: list[str]) -> None:
    """Each input by its name, also where the pipeline itself would swallow it silently."""
    assert Signature.of("PlainPipeline", plain).problems(build_call(make_job(**row), OPTIONS)) == problems


@pytest.mark.parametrize(("scale", "fine"), [(None, False), (1.0, False), (4.0, True)])
def test_a_negative_prompt_without_effect_is_a_problem(scale: float | None, fine: bool) -> None:  # noqa: FBT001  a case
    """A FLUX pipeline ignores it unless its own guidance is on; a user would never learn that from the image."""
    job = make_job(negative_prompt="rain", backend_opts={"true_cfg_scale": scale})
    problems = Signature.of("FluxPipeline", flux_like).problems(build_call(job, OPTIONS))
    assert problems == (
        [] if fine else ["negative_prompt: has no effect unless backend_opts has a true_cfg_scale above 1"]
    )
