"""Answers as no documentation has them: whatever JSON a service sends, it ends its own job and nothing else."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.backends.client.calls import build_refusal
from tasks.backends.fal.results import build_failure, find_images, is_flagged, read_megapixels
from tasks.backends.http_api import answers
from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.costs import Costs as DescribedCosts
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.openai.answer import parse_image_answer
from tasks.backends.openai.costs import Costs
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.prices import Pricing, find_price
from tasks.backends.stated_costs import StatedCosts
from tasks.core.errors import ImagenError, JobError
from tasks.core.presets import list_presets, load_preset
from tasks.core.records import Prediction
from tests.support.factories import make_job

KEYS = st.sampled_from(
    [
        "",
        "0",
        *[
            "data",
            "b64_json",
            "url",
            "usage",
            "input_tokens",
            "output_tokens",
            "output_tokens_details",
            "text_tokens",
            "images",
            "image",
            "width",
        ],
        *[
            "height",
            "detail",
            "error",
            "errors",
            "message",
            "code",
            "type",
            "retry_after",
            "status",
            "state",
            "id",
            "candidates",
            "content",
            "parts",
        ],
        *[
            "inlineData",
            "finishReason",
            "predictions",
            "result",
            "sample",
            "cost",
            "credits",
            "has_nsfw_concepts",
            "nsfw_content_detected",
        ],
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        [
            10**400,
            -1,
            1e308,
            "\ud83d",
            "\x1b[31m",
            "data:image/png;base64,AAAA",
            "iVBORw0K",
            "https://a/b",
            "FAILED",
            "Ready",
        ]
    )
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
DOCUMENTS = st.dictionaries(KEYS, JSON, max_size=5) | JSON
PRICING = Pricing(price=find_price("gpt-image-1.5", {}), image_micros=None)
DESCRIBED = [
    HttpOptions.model_validate(
        {name: value for name, value in load_preset(preset).instance.items() if name in HttpOptions.model_fields}
    )
    for preset in list_presets()
    if load_preset(preset).instance["type"] == "http"
]
MOST_MICROS = 10**10


def check_cost(micros: int | None) -> None:
    """A cost is unknown, or one that can be."""
    assert micros is None or 0 <= micros <= MOST_MICROS


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_openai_s_answers(document: Any) -> None:
    """An image and a cost that can be, or an error of the job."""
    try:
        answer = parse_image_answer(document, b"raw")
    except JobError:
        return
    check_cost(Costs(pricing=PRICING, options=OpenAIOptions()).price(answer, from_images=True)[0])


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_fal_s_answers(document: Any) -> None:
    """Sizes and flags are read from what they are, and an error is one of the job's."""
    body = document if isinstance(document, dict) else {}
    for image in find_images(body):
        assert image["url"]
        size = read_megapixels(image)
        assert size is None or 0 < size <= 10_000
    assert is_flagged(body) in {True, False}
    response = httpx.Response(422, text=json.dumps(document), headers={"content-type": "application/json"})
    assert isinstance(build_failure(response, "words"), JobError)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, st.sampled_from(DESCRIBED))
def test_answers_of_described_services(document: Any, options: HttpOptions) -> None:
    """Every place of every preset may hold anything."""
    answer = Answer(document=document, headers=httpx.Headers(), raw=b"{}", values={"id": "1"})
    priced = Pricing(price=None, image_micros=40_000)
    costs = DescribedCosts(pricing=priced, options=options, stated=StatedCosts("described"))
    words = answers.read_error_text(answer, options, is_error=True)
    answers.has_ended(answer, options)
    check_cost(answers.build_failure(answer, options, words).cost_micros)
    try:
        output = answers.read_output(answer, options, words)
    except JobError as error:
        costs.price_error(make_job(0), error)
        check_cost(error.cost_micros)
        return
    check_cost(costs.end(make_job(0), Prediction(prediction_id="1"), output, answer).cost_micros)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.sampled_from([400, 401, 402, 403, 404, 422, 429, 500, 503]))
def test_words_of_a_no(document: Any, status: int) -> None:
    """Whatever stands in the body of an error, it proves what its status proves, and breaks nothing."""
    response = httpx.Response(status, text=json.dumps(document), headers={"content-type": "application/json"})
    error = build_refusal(response, "words", service="example", key_env="KEY")
    assert isinstance(error, ImagenError)
    if status >= 500:
        assert isinstance(error, JobError)
        assert error.cost_micros is None


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_body_of_any_depth(depth: int) -> None:
    """Nested deeper than can be read, it is a body without words."""
    response = httpx.Response(400, text="[" * depth, headers={"content-type": "application/json"})
    assert isinstance(build_refusal(response, "words", service="example", key_env="KEY"), JobError)
