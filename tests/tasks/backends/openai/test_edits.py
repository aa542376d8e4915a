"""Pictures that start from pictures, through the images API: what is sent, what it costs, and never twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.base import supported_inputs
from tasks.backends.openai.answer import ImageAnswer
from tasks.backends.openai.costs import Costs
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.prices import Pricing, find_price
from tasks.core.configuration.sections import UnitPrices
from tasks.store.references import build_data_address, find_reference
from tests.support.fakes.backends import generate, make_instance_job, open_backend
from tests.support.fakes.openai_images import IMAGE_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, OpenAIImages
from tests.support.fakes.serving import serving
from tests.support.scripted_backend import picture

MODEL = "gpt-image-1-mini"
COST_MICROS = round(INPUT_TOKENS * 2 + IMAGE_TOKENS * 2.5 + OUTPUT_TOKENS * 8)
ADDRESS = "https://example.com/a.png"


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[OpenAIImages]:
    """The service, its key, and two pictures."""
    service = OpenAIImages()
    monkeypatch.setenv("OPENAI_API_KEY", service.key)
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "mask.png").write_bytes(picture(16, 16))
    async with serving(service):
        yield service


def instance(provider: OpenAIImages, **changes: Any) -> dict[str, Any]:
    """An instance that talks to it."""
    return {"type": "openai", "model": MODEL, "api_base": f"{provider.url}/v1", "quality": "low", **changes}


def job(number: int, folder: Path, image: str = "a.png", mask: str | None = "mask.png", **changes: Any) -> Any:
    """A job that starts from a picture."""
    found = None if mask is None else find_reference(mask, folder)
    chosen = {"type": "openai", "model": MODEL}
    return make_instance_job(chosen, number, **{"image": find_reference(image, folder), "mask": found, **changes})


async def test_files_travel_as_a_form(out: Path, tmp_path: Path, provider: OpenAIImages) -> None:
    """With what a generation sends; priced by the tokens of the prompt, of the pictures and of the answer."""
    jobs = [job(n, tmp_path, backend_opts={"input_fidelity": "low"}) for n in range(3)]
    counts = await generate(out, instance(provider), jobs)
    assert (counts.succeeded, counts.cost_micros) == (3, 3 * COST_MICROS)
    assert (provider.requests["edit"], provider.requests["generate"]) == (3, 0)
    sent = provider.created[0]
    assert sent["image"] == ("a.png", "image/png", picture())
    assert sent["mask"] == ("mask.png", "image/png", picture(16, 16))
    words = {name: value for name, value in sent.items() if name not in {"image", "mask", "prompt"}}
    assert words == {
        "model": MODEL,
        "n": 1,
        "size": "1024x1024",
        "quality": "low",
        "output_format": "png",
        "input_fidelity": "low",
    }


async def test_an_address_is_fetched_by_the_service_only(out: Path, tmp_path: Path, provider: OpenAIImages) -> None:
    """It travels as JSON, a file beside it as data."""
    counts = await generate(out, instance(provider), [job(0, tmp_path, ADDRESS)])
    assert counts.succeeded == 1
    [sent] = provider.created
    assert sent["images"] == [{"image_url": ADDRESS}]
    assert sent["mask"] == {"image_url": build_data_address(picture(16, 16))}
    assert "image" not in sent


async def test_a_row_without_a_mask_sends_none(out: Path, tmp_path: Path, provider: OpenAIImages) -> None:
    """The service would paint over all of it or nothing."""
    assert (await generate(out, instance(provider), [job(0, tmp_path, mask=None)])).succeeded == 1
    assert "mask" not in provider.created[0]


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "server_error", "drop_middle"])
async def test_an_edit_without_an_answer_is_held(fault: str, out: Path, tmp_path: Path, provider: OpenAIImages) -> None:
    """As a generation: one call, never sent again by itself."""
    provider.break_(fault)
    counts = await generate(out, instance(provider), [job(0, tmp_path)])
    assert (counts.held, provider.requests["edit"]) == (1, 1)


def test_without_the_pictures_tokens_the_cost_is_unknown() -> None:
    """They have a price of their own, which of this model nobody has told us."""
    price = find_price("mine", {"mine": UnitPrices(input_million_tokens=5.0, output_million_tokens=30.0)})
    costs = Costs(pricing=Pricing(price=price, image_micros=None), options=OpenAIOptions())
    usage = {"input_tokens": 300, "output_tokens": 272, "input_tokens_details": {"image_tokens": 272}}
    answer = ImageAnswer(image=None, address=None, usage=usage)
    assert costs.price(answer) == (9_660, "reported")
    assert costs.price(answer, from_images=True) == (None, None)


@pytest.mark.parametrize(("tokens", "more_micros"), [(None, None), (1_000, 2_500)])
def test_the_most_that_an_edit_costs_is_known_where_its_pictures_tokens_are(
    tokens: int | None, more_micros: int | None
) -> None:
    """A budget cannot be kept otherwise; words only cost what they did."""
    options = OpenAIOptions(quality="low", input_image_tokens=tokens)
    costs = Costs(pricing=Pricing(price=find_price(MODEL, {}), image_micros=None), options=options)
    body = {"model": MODEL, "prompt": "a fox", "quality": "low", "size": "1024x1024"}
    words, pictures = costs.most_micros(body), costs.most_micros(body, from_images=True)
    assert words is not None
    assert pictures == (None if more_micros is None else words + more_micros)


def test_what_a_form_cannot_hold_is_said_beforehand(tmp_path: Path, provider: OpenAIImages) -> None:
    """A list or an object of a row's options."""
    backend = open_backend(instance(provider))
    [problem] = backend.problems(job(0, tmp_path, backend_opts={"svg": {"a": 1}}))
    assert problem.startswith("svg: only a text")
    assert backend.problems(job(0, tmp_path, backend_opts={"background": "opaque"})) == []


def test_batches_take_no_pictures(provider: OpenAIImages) -> None:
    """So a row with one is refused when it is planned."""
    assert set(supported_inputs(open_backend(instance(provider)))) == {"image", "mask"}
    assert not supported_inputs(open_backend(instance(provider, mode="batch")))
