"""Inputs that ask for several images at once."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.image_counts import count_images, explain_several


@pytest.mark.parametrize(
    "values",
    [
        {"num_images": 4},
        {"numImages": 4.0},
        {"Num Outputs": "4"},
        {"n": 4},
        {"parameters": {"sampleCount": 4}},
        {"batch-size": 4, "n": 1},
    ],
)
def test_several_images_are_seen_however_the_input_is_called(values: dict[str, Any]) -> None:
    """All of them are billed and one is kept, so such a row is refused with the name of the input."""
    assert count_images(values) == 4
    [problem] = explain_several(values)
    assert "4 images" in problem


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"num_images": 1, "n": None, "samples": "{samples}"},
        {"num_inference_steps": 4, "number_of_people": 4, "seed": 4},
        {"n": True, "num_images": float("inf"), "batch_size": -4, "num_outputs": 10**400},
        {"n": [4]},
    ],
)
def test_other_inputs_are_no_counts(values: dict[str, Any]) -> None:
    """Steps, seeds and values that are no count ask for one image."""
    assert count_images(values) == 1
    assert explain_several(values) == []
