"""What a job becomes in the body of a create."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.replicate.inputs import build_input, get_megapixels
from tasks.backends.replicate.models import get_model_facts
from tasks.backends.replicate.options import ReplicateOptions, parse_model
from tasks.backends.sizes import ASPECT_RATIOS
from tests.support.factories import make_job

OPTIONS = ReplicateOptions.model_validate({"default_aspect_ratio": "4:5"})


def test_the_whole_input() -> None:
    """One picture, the job's seed, the row's text with its white space collapsed."""
    job = make_job(
        prompt=" a fox\n in snow ", width=1920, height=1080, steps=4, seed=7, format="jpeg", negative_prompt="blur"
    )
    assert build_input(job, OPTIONS) == {
        "prompt": "a fox in snow",
        "aspect_ratio": "16:9",
        "num_outputs": 1,
        "output_format": "jpg",
        "seed": 7,
        "num_inference_steps": 4,
        "negative_prompt": "blur",
    }


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ({"width": 512, "height": 512}, "1:1"),
        ({"width": 1344, "height": 576}, "21:9"),  # 7:3 in lowest terms
        ({"width": 700, "height": 300}, "21:9"),
        ({"width": 1000, "height": 999}, "1:1"),
        ({"width": 1920, "height": 1088}, "16:9"),
        ({"width": 1216, "height": 832}, "3:2"),
        ({"width": 1500, "height": 300}, "5:1"),
        ({"width": None, "height": None, "aspect_ratio": "100:99"}, "100:99"),
        ({"width": 640, "height": 960}, "2:3"),
        ({"width": None, "height": None, "aspect_ratio": "7:3"}, "21:9"),  # as the manifest reduces it
        ({"width": None, "height": None, "aspect_ratio": "9:16"}, "9:16"),
        ({"width": None, "height": None}, "4:5"),
    ],
)
def test_sides_become_the_ratio_that_is_meant(sides: dict[str, Any], expected: str) -> None:
    """Near ones are one of the list; any other is left to the model's schema to refuse, and never paid for in another shape."""
    assert build_input(make_job(**sides), OPTIONS)["aspect_ratio"] == expected


@pytest.mark.parametrize(("row", "sent"), [({}, 28), ({"steps": 4}, 4)])
def test_default_steps_are_sent_where_the_row_gives_none(row: dict[str, Any], sent: int) -> None:
    """`default_steps` goes out as `num_inference_steps`, and a row's own steps win over it."""
    options = ReplicateOptions.model_validate({"default_steps": 28})
    assert build_input(make_job(**row), options)["num_inference_steps"] == sent


def test_no_steps_at_all_leave_the_choice_to_the_model() -> None:
    """Without `default_steps` and steps in the row no `num_inference_steps` is sent."""
    assert "num_inference_steps" not in build_input(make_job(), OPTIONS)


def test_options_are_merged_last_and_null_takes_away() -> None:
    """Every input of every model can be reached, and a default can be left out."""
    job = make_job(backend_opts={"go_fast": False, "num_outputs": None, "aspect_ratio": "custom"})
    sent = build_input(job, OPTIONS)
    assert (sent["go_fast"], sent["aspect_ratio"]) == (False, "custom")
    assert "num_outputs" not in sent


def test_what_a_model_lacks_is_not_sent_by_itself() -> None:
    """A model without a number of outputs is not refused for one; what the row says is sent all the same."""
    sent = build_input(make_job(steps=9), OPTIONS, lacks={"num_outputs", "seed"})
    assert not {"num_outputs", "seed"} & sent.keys()
    assert sent["num_inference_steps"] == 9
    assert build_input(make_job(backend_opts={"num_outputs": 2}), OPTIONS, lacks={"num_outputs"})["num_outputs"] == 2


def test_a_model_without_ratios_is_sent_the_rows_sides() -> None:
    """SDXL took none of them, and made its own size for everybody; what the row leaves open stays open."""
    lacks = get_model_facts("stability-ai/sdxl").lacks
    sent = build_input(make_job(width=768, height=1344), OPTIONS, lacks=lacks)
    assert (sent["width"], sent["height"], "aspect_ratio" in sent) == (768, 1344, False)
    assert not {"width", "height"} & build_input(make_job(width=None, height=None), OPTIONS, lacks=lacks).keys()
    assert not {"width", "height"} & build_input(make_job(width=768, height=1344), OPTIONS).keys()


@pytest.mark.parametrize(
    ("values", "expected"),
    [({}, 1.0), ({"megapixels": "0.25"}, 0.25), ({"resolution": "2 MP"}, 2.0), ({"width": 1000, "height": 500}, 0.5)],
)
def test_the_size_that_is_asked_for(values: dict[str, Any], expected: float) -> None:
    """What a megapixel price is multiplied with."""
    assert get_megapixels(values) == expected


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("black-forest-labs/flux-schnell", "black-forest-labs/flux-schnell", None),
        ("owner/name:abc123", "owner/name", "abc123"),
        ("black-forest-labs/flux-1.1-pro", "black-forest-labs/flux-1.1-pro", None),
    ],
)
def test_model_references(text: str, name: str, version: str | None) -> None:
    """`owner/name`, perhaps with a version."""
    model = parse_model(text)
    assert (model.name, model.version) == (name, version)


@pytest.mark.parametrize("text", ["", "flux", "a/b/c", "a/b:", "https://replicate.com/a/b", "a b/c"])
def test_malformed_references_are_refused(text: str) -> None:
    """The message says what is right."""
    with pytest.raises(ValueError, match="owner/name"):
        parse_model(text)


@pytest.mark.parametrize("base", ["http://x:1", "http://x:1/", "http://x:1/v1", "http://x:1/v1/"])
def test_the_address_may_end_in_v1(base: str) -> None:
    """The two official clients read this setting differently; both spellings work."""
    assert ReplicateOptions.model_validate({"api_base": base}).api_base == "http://x:1"


def test_the_list_of_ratios_is_the_models() -> None:
    """Eleven, as documented."""
    assert len(set(ASPECT_RATIOS)) == 11
