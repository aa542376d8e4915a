"""The simulator, checked by Replicate's own client: what that client takes for the real API, it takes here too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.helpers import FileOutput
from replicate.prediction import Prediction

from tasks.backends.replicate_simulator.faults import Rule, build_rule
from tasks.backends.replicate_simulator.models import FLUX_SCHNELL
from tasks.backends.replicate_simulator.server import Simulator, run_simulator
from tests.tasks.backends.replicate_simulator.client import QUICK, SCHNELL, inside

PRO = "black-forest-labs/flux-1.1-pro"


@dataclass(frozen=True, slots=True)
class Official:
    """A simulator and the official client for it."""

    simulator: Simulator
    client: Client

    async def create(self, seed: int) -> Prediction:
        """A new prediction."""
        return await self.client.models.predictions.async_create(SCHNELL, {"prompt": "a fox", "seed": seed})

    async def file(self, url: str) -> str:
        """What is in an output file; the client makes a `FileOutput` of https addresses only."""
        return inside(await FileOutput(url, self.client).aread())

    async def error(self, fault: Rule) -> ReplicateError:
        """What a create raises under a fault."""
        self.simulator.set_faults([fault])
        with pytest.raises(ReplicateError) as caught:
            await self.create(1)
        return caught.value


@pytest.fixture
async def official() -> AsyncIterator[Official]:
    """Both, for one test."""
    async with run_simulator(QUICK) as simulator:
        client = Client("r8_test", base_url=simulator.url)
        client.poll_interval = 0.01
        yield Official(simulator, client)
        await client._async_client.aclose()


async def test_it_uploads_a_file_and_starts_a_picture_from_it(official: Official) -> None:
    """The file has a name, a size and a checksum, and its address is an input that a model takes."""
    file = await official.client.files.async_create(BytesIO(b"bytes"), filename="a.png", content_type="image/png")
    assert (file.name, file.size, file.checksums["sha256"]) == ("a.png", 5, sha256(b"bytes").hexdigest())
    assert (await official.client.files.async_get(file.id)).urls == file.urls
    values = {"prompt": "a fox", "image": file.urls["get"]}
    made = await official.client.models.predictions.async_create("black-forest-labs/flux-dev", values)
    assert made.input == values
    with pytest.raises(ReplicateError, match="uri"):
        await official.client.models.predictions.async_create(
            "black-forest-labs/flux-dev", values | {"image": "/a.png"}
        )


async def test_it_runs_a_model_whose_output_is_a_list(official: Official) -> None:
    """`run` waits in the call, takes the output that comes with `processing`, and reads the file."""
    urls: Any = await official.client.async_run(SCHNELL, {"prompt": "a fox", "num_outputs": 2, "output_format": "png"})
    assert [await official.file(url) for url in urls] == ["PNG 64x64"] * 2


async def test_it_runs_a_model_whose_output_is_a_single_address(official: Official) -> None:
    """Without waiting in the call, `run` polls."""
    url: Any = await official.client.async_run(PRO, {"prompt": "a fox", "aspect_ratio": "16:9"}, wait=False)
    assert await official.file(url) == "WEBP 84x48"


async def test_it_sends_its_token_to_the_files_host(official: Official) -> None:
    """A known mistake of version 1.0.7, and the simulator sees it."""
    url: Any = await official.client.async_run(PRO, {"prompt": "a fox"})
    await official.file(url)
    assert official.simulator.truth().token_leaks == 1


async def test_it_creates_waits_and_reloads(official: Official) -> None:
    """The states come in order, and the end has metrics."""
    prediction = await official.create(1)
    assert (prediction.status, prediction.output, prediction.version) == ("starting", None, "hidden")
    await prediction.async_wait()
    assert prediction.status == "succeeded"
    assert prediction.metrics is not None
    assert prediction.metrics["image_output_count"] == 1
    assert (await official.client.predictions.async_get(prediction.id)).output == prediction.output


async def test_it_creates_by_version_and_by_deployment(official: Official) -> None:
    """All three spellings of a version, and a deployment, lead to the same model."""
    versions = [SCHNELL, f"{SCHNELL}:{FLUX_SCHNELL.version}", FLUX_SCHNELL.version]
    made = [await official.client.predictions.async_create(version, {"prompt": "a fox"}) for version in versions]
    made.append(
        await official.client.deployments.predictions.async_create("simulator/flux-schnell", {"prompt": "a fox"})
    )
    assert {prediction.model for prediction in made} == {SCHNELL}


async def test_it_pages_through_the_list(official: Official) -> None:
    """The newest first, a hundred a page, the cursor followed as it is, nothing twice and nothing missing."""
    made = [(await official.create(seed)).id for seed in range(205)]
    first = await official.client.predictions.async_list()
    assert first.next is not None
    second = await official.client.predictions.async_list(first.next)
    assert second.next is not None
    third = await official.client.predictions.async_list(second.next)
    assert (len(first), len(second), len(third), third.next) == (100, 100, 5, None)
    assert [item.id for page in (first, second, third) for item in page] == made[::-1]


async def test_it_cancels(official: Official) -> None:
    """The answer to a cancel is the prediction, canceled; it is billed if it ran."""
    official.simulator.provider.settings = replace(QUICK, latency_s=10_000, starting_share=0)
    prediction = await official.create(1)
    await prediction.async_cancel()
    assert prediction.status == "canceled"
    assert official.simulator.truth().canceled_billed == 1


async def test_it_reads_a_model_and_the_account(official: Official) -> None:
    """The page of a model has its version's schema."""
    model = await official.client.models.async_get(SCHNELL)
    assert model.latest_version is not None
    schemas = model.latest_version.openapi_schema["components"]["schemas"]
    assert schemas["Input"]["required"] == ["prompt"]
    assert schemas["Input"]["properties"]["num_outputs"]["maximum"] == 4
    assert schemas["output_format"]["enum"] == ["webp", "jpg", "png"]
    assert schemas["Output"]["items"] == {"type": "string", "format": "uri"}
    assert (await official.client.accounts.async_current()).username == "simulator"


@pytest.mark.parametrize(
    ("fault", "status", "title"),
    [
        ("unauthorized", 401, "Unauthenticated"),
        ("insufficient_credit", 402, "Insufficient credit"),
        ("not_found", 404, None),
        ("invalid_input", 422, "Input validation failed"),
        ("throttled", 429, None),
        ("server_error_500", 500, None),
        ("bad_gateway_html_502", 502, None),
    ],
)
async def test_it_raises_its_error_with_the_status(
    official: Official, fault: str, status: int, title: str | None
) -> None:
    """Also where the body is no JSON."""
    error = await official.error(build_rule(fault))
    assert (error.status, error.title) == (status, title)


async def test_it_raises_for_a_failed_prediction(official: Official) -> None:
    """With the prediction's own words."""
    official.simulator.set_faults([build_rule("failed_e005")])
    with pytest.raises(ModelError, match="flagged as sensitive"):
        await official.client.async_run(SCHNELL, {"prompt": "a fox"}, wait=False)


async def test_it_repeats_a_poll_that_was_answered_429(official: Official) -> None:
    """Its GETs are repeated by itself; they say nothing about the prediction."""
    prediction = await official.create(1)
    official.simulator.set_faults([build_rule("poll_429", first=1)])
    await prediction.async_reload()
    truth = official.simulator.truth()
    assert (truth.requests["get"], truth.throttled) == (2, {"get": 1})
