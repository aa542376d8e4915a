"""What one instance owes the engine beyond its calls: which prediction is a job's, whose rate it uses, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.backends.replicate.backend import ReplicateBackend
from tasks.backends.replicate.options import CREATES_PER_MIN
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.records import ReferenceImage
from tasks.generate.batch import open_batch
from tasks.ledger.database.connect import open_ledger
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job


def instance(**options: Any) -> BackendSettings:
    """Settings of an instance."""
    return BackendSettings.model_validate({"type": "replicate", "model": "black-forest-labs/flux-schnell", **options})


async def replicate(out: Path, **options: Any) -> ReplicateBackend:
    """An instance as a batch builds it."""
    settings = Settings(default_backend="flux", backends={"flux": instance(**options)})
    async with (
        open_ledger(out, create=True) as engine,
        open_batch(OutputFolder(out), engine, settings, budget_micros=None) as batch,
    ):
        backend = batch.backend("flux")
        assert isinstance(backend, ReplicateBackend)
        return backend


async def test_instances_of_one_token_share_one_rate(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the account's: two models do not get twice of it; another token has its own."""
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_one")
    monkeypatch.setenv("OTHER_TOKEN", "r8_two")
    backends = {
        "schnell": instance(),
        "dev": instance(model="black-forest-labs/flux-dev", concurrency=3),
        "other": instance(api_token_env="OTHER_TOKEN", creates_per_min=60),
    }
    settings = Settings(default_backend="schnell", backends=backends)
    async with (
        open_ledger(out, create=True) as engine,
        open_batch(OutputFolder(out), engine, settings, budget_micros=None) as batch,
    ):
        assert batch.get_limits("schnell").creates is batch.get_limits("dev").creates
        batch.get_limits("other")
        assert [rate.per_min for rate in batch.rate_limiters] == [CREATES_PER_MIN, 60]
        assert "r8_one" not in batch.backend("schnell").allowance().account


async def test_pictures_that_would_be_paid_for_and_dropped_are_refused(out: Path) -> None:
    """A job is one picture; and whoever asks for four all the same is shown the price of four."""
    backend = await replicate(out)
    four = make_job(backend_opts={"num_outputs": 4})
    assert backend.problems(make_job()) == []
    assert "samples" in backend.problems(four)[0]
    assert backend.estimate(four).cost_micros == 4 * 3_000


async def test_a_price_by_time_sets_the_time_out_aside(out: Path) -> None:
    """The budget holds the most that the model may run; the plan tells the usual."""
    backend = await replicate(out, model="stability-ai/sdxl:" + "a" * 64, timeout_s=100.0)
    estimate = backend.estimate(make_job())
    assert (estimate.cost_micros, estimate.most_micros) == (5_850, 97_500)


async def test_reference_images_make_the_price_unknown_where_they_are_billed(out: Path) -> None:
    """Their size is not known before they are sent; a model that does not bill them keeps its price."""
    flux_2 = await replicate(out, model="black-forest-labs/flux-2-pro")
    with_image = make_job(backend_opts={"input_images": ["https://example.org/a.png"]})
    assert flux_2.estimate(make_job()).cost_micros == 30_000
    assert flux_2.estimate(with_image).cost_micros is None
    assert (await replicate(out)).estimate(with_image).cost_micros == 3_000


async def test_pictures_that_go_in_by_a_configured_name_are_never_free(out: Path) -> None:
    """Their size is not known here, so neither is a price that depends on it; a budget then asks for `price_usd`."""
    backend = await replicate(out, model="black-forest-labs/flux-2-pro", image_input="start[]", check_inputs=False)
    picture = ReferenceImage("https://x/a.png", "0")
    assert backend.estimate(make_job()).most_micros == 30_000
    assert backend.estimate(make_job(image=picture)).most_micros is None
