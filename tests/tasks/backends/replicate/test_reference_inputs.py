"""Pictures that go into a prediction: how they travel, and how a lost one is found all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.backends.replicate.models import ModelFacts, get_model_facts
from tasks.backends.replicate.options import ReplicateOptions
from tasks.backends.replicate.reference_inputs import MOST_DATA_BYTES, ReferenceInputs
from tasks.backends.replicate_simulator.faults import build_rule
from tasks.backends.replicate_simulator.server import run_simulator
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import Rejected
from tasks.generate.batch import open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.queries import count_jobs
from tasks.store.output.folder import OutputFolder
from tasks.store.references import find_reference
from tests.support.factories import make_job, plan_jobs
from tests.support.scripted_backend import picture
from tests.tasks.backends.replicate.test_never_twice import EVERYTHING, QUICK

DEV = "black-forest-labs/flux-dev"


def inputs(model: str = DEV, **options: str) -> ReferenceInputs:
    """Of a model under these settings."""
    return ReferenceInputs.of(get_model_facts(model), ReplicateOptions.model_validate(options))


async def never(_data: bytes, _sha256: str) -> str:
    """Fails the test that uploads."""
    raise AssertionError


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        (DEV, {}, {"image": "https://x/a.png"}),
        ("black-forest-labs/flux-2-pro", {}, {"input_images": ["https://x/a.png"]}),
        ("owner/any", {"image_input": "start[]"}, {"start": ["https://x/a.png"]}),
        ("stability-ai/sdxl", {}, {"image": "https://x/a.png", "mask": "https://x/m.png"}),
    ],
)
async def test_each_model_has_its_own_name_for_a_picture(
    model: str, options: dict[str, str], expected: dict[str, object]
) -> None:
    """An address goes as it is, to the input that is known or configured, alone or in a list."""
    references = {name: find_reference(f"https://x/{name[0]}.png", Path()) for name in ("image", "mask")}
    job = replace(make_job(), image=replace(references["image"], address="https://x/a.png"), mask=references["mask"])
    assert await inputs(model, **options).build_sent(job, never) == expected


async def test_small_files_go_in_the_input_and_large_ones_are_uploaded(tmp_path: Path) -> None:
    """Up to 256 KB as data, larger ones through the service's files; either way the lost one is told by the rest."""
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "large.png").write_bytes(picture() + bytes(MOST_DATA_BYTES))
    uploads: list[int] = []

    async def upload(data: bytes, _sha256: str) -> str:
        uploads.append(len(data))
        return "https://api/files/1"

    small, large = (make_job(image=find_reference(name, tmp_path)) for name in ("a.png", "large.png"))
    assert (await inputs().build_sent(small, upload))["image"].startswith("data:image/png;base64,")
    assert await inputs().build_sent(large, upload) == {"image": "https://api/files/1"}
    assert uploads == [len(picture()) + MOST_DATA_BYTES]
    assert await inputs().recall(small) == (await inputs().build_sent(small, upload), {})
    assert await inputs().recall(large) == ({}, {"image": large.image.sha256 if large.image else ""})


def test_a_model_without_such_an_input_takes_none() -> None:
    """FLUX.1 schnell makes pictures of words only."""
    assert ReferenceInputs.of(get_model_facts("black-forest-labs/flux-schnell"), ReplicateOptions()).names == {}
    assert ReferenceInputs.of(ModelFacts(), ReplicateOptions()).names == {"image": "image"}


@pytest.mark.parametrize("extra_bytes", [0, MOST_DATA_BYTES])
async def test_a_lost_create_with_a_picture_is_found_and_not_paid_again(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra_bytes: int
) -> None:
    """Though an upload has another address each time."""
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_rehearsal")
    (tmp_path / "a.png").write_bytes(picture() + bytes(extra_bytes))
    options = {
        "type": "replicate",
        "model": DEV,
        "delivery_hosts": ["localhost"],
        "lookup_patience_s": 0.3,
        "creates_per_min": 60_000,
    }
    faults = [build_rule("drop_after_create", 0.5)]
    async with run_simulator(QUICK, faults) as simulator, open_ledger(out, create=True) as engine:
        instance = BackendSettings.model_validate({**options, "api_base": simulator.url})
        settings = Settings(default_backend="dev", backends={"dev": instance})
        reference = find_reference("a.png", tmp_path)
        jobs = [
            make_job(n, backend="dev", backend_type="replicate", model=DEV, width=None, height=None, image=reference)
            for n in range(20)
        ]
        await plan_jobs(engine, jobs)
        async with open_batch(OutputFolder(out), engine, settings, budget_micros=None) as batch:
            await generate_range(batch, *EVERYTHING)
        counts, truth = await count_jobs(engine), simulator.truth()
    assert (counts.succeeded, truth.created, truth.billed) == (20, 20, 20)
    assert (truth.requests.get("upload", 0) > 0) == bool(extra_bytes)


async def test_a_picture_that_is_gone_fails_its_job_before_anything_is_paid(tmp_path: Path) -> None:
    """The file was there when the batch was planned."""
    (tmp_path / "a.png").write_bytes(picture())
    job = make_job(image=find_reference("a.png", tmp_path))
    (tmp_path / "a.png").unlink()
    with pytest.raises(Rejected, match="cannot be read"):
        await inputs().build_sent(job, never)
