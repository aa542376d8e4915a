"""What a prediction object proves."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.prices import Pricing, Used, find_price
from tasks.backends.replicate.predictions import find_first_output, has_ended, measure_seconds, parse_ended
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
    ],
)
def test_output_in_every_shape(output: Any, expected: str | None) -> None:
    """A string, a list, a dictionary, nothing."""
    assert find_first_output(output) == expected


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
    """Aborted before it started: free. Canceled: not known."""
    with pytest.raises(Transient) as aborted:
        ended({"status": "aborted"})
    with pytest.raises(Transient) as canceled:
        ended({"status": "canceled"})
    assert (aborted.value.cost_micros, canceled.value.cost_micros) == (0, None)


def test_a_success_is_priced_by_its_images() -> None:
    """By the count that the provider reports, else by the outputs; a configured price wins; unknown stays unknown."""
    answer = {"output": ["a", "b"], "version": "hidden", "metrics": {"predict_time": 1.5, "image_output_count": 3}}
    prediction = ended(answer)
    assert (prediction.cost_micros, prediction.cost_source) == (9_000, "priced")
    assert (prediction.model_version, prediction.predict_time_s) == ("hidden", 1.5)
    assert ended({"output": ["a", "b"]}).cost_micros == 6_000
    assert ended({"output": "a"}, image_micros=500).cost_micros == 500
    unknown = ended({"output": "a"}, "nobody/knows-it")
    assert (unknown.cost_micros, unknown.cost_source) == (None, None)


def test_megapixels_are_billed_whole() -> None:
    """A begun megapixel counts, beside the price of the run."""
    flux_2 = "black-forest-labs/flux-2-pro:some-version"
    assert ended({"output": "a"}, flux_2, megapixels=2.25).cost_micros == 15_000 + 3 * 15_000


def test_a_price_by_time_counts_what_ran() -> None:
    """A success by its seconds; a failure or a cancel by its seconds too, nothing before it started, unknown without a figure."""
    sdxl = "stability-ai/sdxl"
    assert ended({"output": "a", "metrics": {"predict_time": 4.0}}, sdxl).cost_micros == 3_900
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
