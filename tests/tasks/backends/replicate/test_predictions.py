"""What a prediction object proves."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.prices import Pricing, Used, find_price
from tasks.backends.replicate.predictions import find_addresses, has_ended, measure_seconds, parse_ended
from tasks.core.errors import JobError, OutputGone, Refused, Transient
from tasks.core.records import Prediction

SCHNELL = "black-forest-labs/flux-schnell"


def ended(
    answer: dict[str, Any], model: str = SCHNELL, *, image_micros: int | None = None, megapixels: float = 1.0
) -> Prediction:
    """Read an answer in a terminal state."""
    pricing = Pricing(price=find_price(model, {}), image_micros=image_micros)
    asked = Used(images=1, megapixels=megapixels)
    return parse_ended({"id": "p", "status": "succeeded", **answer}, pricing, asked)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("https://a", "https://a"),
        (["https://a", "https://b"], "https://a"),
        ({"image": "https://a"}, "https://a"),
        ({"images": [None, "https://b"]}, "https://b"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        (None, None),
        ([], None),
        ("", None),
        ({}, None),
        (17, None),
        (["a red fox in snow", "https://a"], "https://a"),
        ({"code": "print(1)", "image": "HTTPS://a"}, "HTTPS://a"),
        ({"caption": "see http: it is", "deep": [{"image": ["https://b"]}]}, "https://b"),
        ("a caption", None),
    ],
)
def test_output_in_every_shape(output: Any, expected: str | None) -> None:
    """Addresses are found in a string, a list or a dictionary; text beside them is text."""
    assert next(find_addresses(output), None) == expected


def test_text_beside_an_image_is_no_second_image() -> None:
    """A caption in the output neither becomes the image nor a part of the price."""
    prediction = ended({"output": ["a caption", "https://a"]}, image_micros=1_000)
    assert (prediction.output, prediction.cost_micros) == ("https://a", 1_000)


def test_an_image_that_is_named_twice_is_one_image() -> None:
    """Under two names of one output; in a list each entry is an image of its own."""
    twice = {"output": {"image": "https://a", "images": ["https://a", "https://b"]}}
    assert ended(twice, image_micros=1_000).cost_micros == 2_000
    assert ended({"output": ["https://a", "https://a"]}, image_micros=1_000).cost_micros == 2_000


def test_frames_of_an_iterator_are_one_image() -> None:
    """The last frame is the image, and one image is billed."""
    answer = {"id": "p", "status": "succeeded", "output": ["https://a", "https://b", "https://c"]}
    pricing, asked = Pricing(price=None, image_micros=1_000), Used(images=1)
    prediction = parse_ended(answer, pricing, asked, lists_frames=True)
    assert (prediction.output, prediction.cost_micros) == ("https://c", 1_000)


@pytest.mark.parametrize("count", [-1_000, 10**9, float("inf"), True, "7", {}, None])
def test_a_reported_count_that_is_none_is_not_believed(count: Any) -> None:
    """It neither gives money back nor books a fortune: the images that came are counted."""
    answer = {"output": ["https://a"], "metrics": {"image_output_count": count}}
    assert ended(answer, image_micros=1_000).cost_micros == 1_000


def test_reported_megapixels_are_billed() -> None:
    """flux-2-pro reports 1 for 1024x1024, which is 1.05 by its sides (recorded answer of 2026-05)."""
    model = "black-forest-labs/flux-2-pro"
    metrics = {"image_output_count": 1, "image_output_megapixel_count": 1, "image_input_megapixel_count": 0}
    answer = {"output": "https://a", "metrics": metrics}
    assert ended(answer, model, megapixels=1.048576).cost_micros == ended({"output": "https://a"}, model).cost_micros


@pytest.mark.parametrize("version", [{"a": 1}, ["v"], 7])
def test_a_version_that_is_no_text_is_left_out(version: Any) -> None:
    """A ledger stores text there."""
    assert ended({"output": "https://a", "version": version}).model_version is None


@pytest.mark.parametrize(
    ("answer", "error", "kind"),
    [
        ({"status": "failed", "error": "Prediction interrupted; please retry (code: PA)"}, Transient, "transient"),
        (
            {"status": "failed", "error": "Director: unexpected error handling prediction (E9828)"},
            Transient,
            "transient",
        ),
        ({"status": "failed", "error": "Service is temporarily unavailable (E004)"}, Transient, "transient"),
        (
            {"status": "failed", "error": "The input or output was flagged as sensitive. Please try again (E005) (x)"},
            Refused,
            "moderation",
        ),
        (
            {"status": "failed", "error": "All generated images contained NSFW content. Try another."},
            Refused,
            "moderation",
        ),
        ({"status": "failed", "error": "CUDA exploded"}, JobError, "failed"),
        ({"status": "failed", "error": None}, JobError, "failed"),
        ({"status": "aborted"}, Transient, "timeout"),
        ({"status": "canceled"}, Transient, "canceled"),
        ({"status": "dreaming"}, JobError, "unknown_state"),
        ({"output": None, "data_removed": True}, OutputGone, "output_gone"),
        ({"output": [], "logs": "NSFW content detected in image 0"}, Refused, "moderation"),
        ({"output": None}, JobError, "no_output"),
    ],
)
def test_every_end_without_a_picture_has_its_type(answer: dict[str, Any], error: type[JobError], kind: str) -> None:
    """Whether a new attempt may help is decided here, once."""
    with pytest.raises(JobError) as caught:
        ended(answer)
    assert (type(caught.value), caught.value.error_kind) == (error, kind)


def test_what_was_cancelled_while_it_ran_may_have_cost_something() -> None:
    """Before its start it is free; an answer that leaves its start out, or has measured it, does not prove that."""
    never: dict[str, Any] = {"started_at": None, "metrics": {}}
    ran = {"started_at": None, "metrics": {"predict_time": 1.5}}
    costs = []
    for answer in (
        {"status": "aborted"},
        {"status": "canceled", **never},
        {"status": "canceled"},
        {"status": "canceled", **ran},
    ):
        with pytest.raises(Transient) as caught:
            ended(answer)
        costs.append(caught.value.cost_micros)
    assert costs == [0, 0, None, None]


def test_a_success_is_priced_by_its_images() -> None:
    """By the count that the provider reports, else by the outputs; a configured price wins; unknown stays unknown."""
    answer = {
        "output": ["https://a", "https://b"],
        "version": "hidden",
        "metrics": {"predict_time": 1.5, "image_output_count": 3},
    }
    prediction = ended(answer)
    assert (prediction.cost_micros, prediction.cost_source) == (9_000, "priced")
    assert (prediction.model_version, prediction.predict_time_s) == ("hidden", 1.5)
    assert ended({"output": ["https://a", "https://b"]}).cost_micros == 6_000
    assert ended({"output": "https://a"}, image_micros=500).cost_micros == 500
    unknown = ended({"output": "https://a"}, "nobody/knows-it")
    assert (unknown.cost_micros, unknown.cost_source) == (None, None)


def test_megapixels_are_billed_whole() -> None:
    """A begun megapixel counts, beside the price of the run."""
    flux_2 = "black-forest-labs/flux-2-pro:some-version"
    assert ended({"output": "https://a"}, flux_2, megapixels=2.25).cost_micros == 15_000 + 3 * 15_000


def test_a_price_by_time_counts_what_ran() -> None:
    """A success by its seconds; a failure or a cancel by its seconds too, nothing before it started, unknown without a figure."""
    sdxl = "stability-ai/sdxl"
    assert ended({"output": "https://a", "metrics": {"predict_time": 4.0}}, sdxl).cost_micros == 3_900
    failed = {"status": "failed", "error": "interrupted (code: PA)"}
    started = {**failed, "started_at": "2026-11-24T10:00:01Z"}
    measured = {**started, "metrics": {"predict_time": 2.0}}
    canceled = {**measured, "status": "canceled"}
    for answer, expected in ((failed, 0), (started, None), (measured, 1_950), (canceled, 1_950)):
        with pytest.raises(Transient) as caught:
            ended(answer, sdxl)
        assert caught.value.cost_micros == expected


def test_starting_and_processing_have_not_ended() -> None:
    """Anything else has, also what we do not know: it is never polled for ever."""
    assert [has_ended({"status": status}) for status in ("starting", "processing", "succeeded", "aborted", "?")] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_times_with_any_number_of_digits() -> None:
    """The provider writes two to nine digits of a second."""
    assert measure_seconds(
        {"created_at": "2026-11-24T10:00:01.04Z", "completed_at": "2026-11-24T10:00:03.123456789Z"}
    ) == (pytest.approx(2.083456))
    assert measure_seconds({"created_at": "2026-11-24T10:00:01Z"}) is None
