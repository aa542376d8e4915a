"""What a job becomes in a request, and what is known beforehand to be refused."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.openai.answer import ImageAnswer
from tasks.backends.openai.costs import Costs
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.openai.request import build_body, find_problems
from tasks.backends.prices import Pricing, find_price
from tests.support.fakes.backends import make_instance_job

FIXED = "gpt-image-1.5"
FREE = "gpt-image-2.5-flare"
OTHER = "somebody/else"


def job(model: str, **changes: Any) -> Any:
    """A job for a model."""
    return make_instance_job({"type": "openai", "model": model}, **changes)


@pytest.mark.parametrize(
    ("model", "changes", "size"),
    [
        (FIXED, {}, "1024x1024"),
        (FIXED, {"width": 1536, "height": 1024}, "1536x1024"),
        (FIXED, {"aspect_ratio": "6:4"}, "1536x1024"),
        (FREE, {"width": 1536, "height": 864}, "1536x864"),
        (FREE, {"aspect_ratio": "16:9"}, "1360x768"),
        (OTHER, {"width": 500, "height": 333}, "500x333"),
    ],
)
def test_the_size_follows_the_row(model: str, changes: dict[str, Any], size: str) -> None:
    """Given sides as they are, a ratio as the model can make it, nothing as the default."""
    body = build_body(job(model, **changes), OpenAIOptions())
    assert body["size"] == size
    assert find_problems(job(model, **changes), OpenAIOptions()) == []


@pytest.mark.parametrize(
    ("model", "changes", "options", "named"),
    [
        (FIXED, {"width": 512, "height": 512}, {}, "size: 512x512 is none of its sizes"),
        (FIXED, {"aspect_ratio": "21:9"}, {}, "size"),
        (FREE, {"width": 1000, "height": 1000}, {}, "size: 1000x1000: sides must be multiples of 16"),
        (FREE, {"width": 3200, "height": 320}, {}, "size"),
        (FREE, {"width": 3840, "height": 3840}, {}, "size"),
        (FREE, {"width": 512, "height": 512}, {}, "size: 512x512 is less than 655,360 pixels"),
        (f"{FREE}-2026-09-08", {"width": 1000, "height": 1000}, {}, "size"),
        (FIXED, {}, {"quality": "max"}, "quality: 'max'"),
        (FIXED, {"backend_opts": {"quality": "hd"}}, {}, "quality"),
        (FIXED, {"backend_opts": {"output_format": "gif"}}, {}, "output_format"),
        (FIXED, {"backend_opts": {"n": 2}}, {}, "n: 2 images"),
        (FREE, {"backend_opts": {"size": "large"}}, {}, "size: large is no size"),
        (FREE, {"backend_opts": {"size": "1024x1024x3"}}, {}, "size"),
        (FIXED, {"backend_opts": {"quality": ["low"]}}, {}, "quality"),
        (FIXED, {"backend_opts": {"output_format": ["png"]}}, {}, "output_format"),
        (OTHER, {"backend_opts": {"prompt": None}}, {}, "prompt"),
        (FIXED, {"backend_opts": {"prompt": 5}}, {}, "prompt"),
        (FIXED, {"prompt": "a" * 32_001}, {}, "prompt"),
        (FIXED, {"negative_prompt": "fog"}, {}, "negative_prompt: is not sent"),
        (OTHER, {"steps": 4}, {}, "steps: is not sent"),
    ],
)
def test_what_would_be_refused_is_known_before_anything_is_sent(
    model: str, changes: dict[str, Any], options: dict[str, Any], named: str
) -> None:
    """One problem, which names the input; a price is no matter of its kind."""
    chosen = OpenAIOptions(**options)
    [problem] = find_problems(job(model, **changes), chosen)
    assert problem.startswith(named)
    price = Pricing(price=find_price(model, {}), image_micros=None)
    Costs(pricing=price, options=chosen).most_micros(build_body(job(model, **changes), chosen))


def test_other_models_get_what_the_row_says() -> None:
    """No format, no quality and no seed that nobody asked for; inputs of a server by its own names; null takes one away."""
    plain = build_body(job(OTHER), OpenAIOptions())
    assert set(plain) == {"model", "prompt", "n", "size"}
    options = OpenAIOptions(extra_inputs={"seed": "seed", "num_inference_steps": "steps"}, response_format="b64_json")
    rich = build_body(job(OTHER, seed=7, steps=4, backend_opts={"size": None, "style": "ink"}), options)
    assert (rich["seed"], rich["num_inference_steps"], rich["style"]) == (7, 4, "ink")
    assert "size" not in rich


@pytest.mark.parametrize(
    ("model", "options", "dollars"),
    [
        ("gpt-image-1-mini", {"quality": "low"}, 625 * 8e-6),
        ("gpt-image-1-mini", {}, 4500 * 8e-6),
        (FIXED, {"quality": "medium", "default_size": "1536x1024"}, 1584 * 32e-6 + 400 * 10e-6),
        (FIXED, {"quality": "medium", "mode": "batch"}, (1056 * 32e-6 + 400 * 10e-6) / 2),
        # OpenAI's own calculator, and a recorded answer of 120 tokens (1536x864, low).
        ("gpt-image-2", {"quality": "high"}, 7024 * 30e-6 + 400 * 10e-6),
        ("gpt-image-2", {"default_size": "1536x1024"}, 5488 * 30e-6 + 400 * 10e-6),
        ("gpt-image-2", {"quality": "high", "default_size": "3584x2048"}, 12_329 * 30e-6 + 400 * 10e-6),
        ("gpt-image-2", {"quality": "low", "default_size": "864x1536"}, 120 * 30e-6 + 400 * 10e-6),
        ("gpt-image-2", {"default_size": "auto"}, None),
        (FREE, {"output_tokens": 2000}, 2000 * 30e-6),
        (FREE, {"quality": "medium"}, 439 * 30e-6 + 400 * 30e-6),
        ("gpt-image-2.6-flare", {}, None),
        (OTHER, {}, None),
    ],
)
def test_the_price_beforehand_is_that_of_the_dearest_picture(
    model: str, options: dict[str, Any], dollars: float | None
) -> None:
    """By the tokens known of the model or configured; its prompt counts a token a byte; unknown stays unknown."""
    chosen = OpenAIOptions(**options)
    costs = Costs(pricing=Pricing(price=find_price(model, {}), image_micros=None), options=chosen)
    most = costs.most_micros(build_body(job(model), chosen))
    if dollars is None:
        assert most is None
    else:
        assert most is not None
        assert dollars * 1e6 < most < dollars * 1e6 + 1_000


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        # A recorded generation: 272 tokens of the image, 10 of the prompt.
        ({"input_tokens": 10, "output_tokens": 272}, 8_754),
        # A recorded low edit of 2026-08: a text of 143 tokens beside the image.
        (
            {
                "input_tokens": 10,
                "output_tokens": 415,
                "output_tokens_details": {"image_tokens": 272, "text_tokens": 143},
            },
            10_184,
        ),
        ({"input_tokens": 10, "output_tokens": 272, "output_tokens_details": None}, 8_754),
        ({"input_tokens": 10, "output_tokens": 272, "output_tokens_details": {"text_tokens": 9_999}}, None),
        *(
            ({"input_tokens": 10, "output_tokens": wrong}, None)
            for wrong in (-272, 1e308, 10**400, float("inf"), float("nan"), True, "272", None, [272])
        ),
        ({"input_tokens": -5, "output_tokens": 272}, None),
        ([], None),
    ],
)
def test_tokens_are_priced_by_their_kind_and_only_where_they_can_be_believed(usage: Any, micros: int | None) -> None:
    """Text beside an image has a price of its own; a count that cannot be one makes the cost unknown, never less."""
    costs = Costs(pricing=Pricing(price=find_price(FIXED, {}), image_micros=None), options=OpenAIOptions())
    answer = ImageAnswer(image=b"x", address=None, usage=usage if isinstance(usage, dict) else None)
    assert costs.price(answer)[0] == micros
