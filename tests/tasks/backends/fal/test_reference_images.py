"""Pictures that start from pictures, through fal's queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.base import supported_inputs
from tasks.backends.fal import reference_images
from tasks.backends.fal.options import FalOptions
from tasks.backends.fal.reference_images import build_image_inputs
from tasks.core.errors import Rejected
from tasks.store.references import build_data_address, find_reference
from tests.support.fakes.backends import generate, make_instance_job, open_backend
from tests.support.fakes.fal_queue import FalQueue, instance
from tests.support.fakes.serving import serving
from tests.support.scripted_backend import picture

INPUTS = {"image_input": "image_urls[]", "mask_input": "mask_url"}


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FalQueue]:
    """The service, its key, and a picture."""
    service = FalQueue()
    monkeypatch.setenv("FAL_KEY", service.key)
    (tmp_path / "a.png").write_bytes(picture())
    async with serving(service):
        yield service


def job(folder: Path, **changes: Any) -> Any:
    """A job that starts from a file, and whose mask is an address."""
    mask = find_reference("https://example.com/mask.png", folder)
    return make_instance_job(instance(""), **{"image": find_reference("a.png", folder), "mask": mask, **changes})


async def test_files_travel_as_data_and_addresses_as_they_are(out: Path, tmp_path: Path, provider: FalQueue) -> None:
    """Under the names that the configuration gives them."""
    counts = await generate(out, instance(provider.url, **INPUTS), [job(tmp_path)])
    assert counts.succeeded == 1
    [sent] = provider.created
    assert sent["image_urls"] == [build_data_address(picture())]
    assert sent["mask_url"] == "https://example.com/mask.png"


async def test_a_lost_submit_with_a_picture_is_held(out: Path, tmp_path: Path, provider: FalQueue) -> None:
    """It is no more certain than one without."""
    provider.break_("drop_after")
    counts = await generate(out, instance(provider.url, **INPUTS), [job(tmp_path)])
    assert (counts.held, len(provider.created)) == (1, 1)


def test_a_model_takes_the_pictures_that_the_configuration_names(provider: FalQueue) -> None:
    """None by itself: a model drops an input that it does not know, and the picture would be paid for."""
    assert not supported_inputs(open_backend(instance(provider.url)))
    assert set(supported_inputs(open_backend(instance(provider.url, image_input="image_url")))) == {"image"}


async def test_settings_that_take_no_picture_any_more_send_nothing(
    out: Path, tmp_path: Path, provider: FalQueue
) -> None:
    """A batch that is resumed under another configuration does not pay for pictures of words only."""
    counts = await generate(out, instance(provider.url), [job(tmp_path)])
    assert (dict(counts.errors), len(provider.created)) == ({"input_image": 1}, 0)


def test_a_file_that_is_too_large_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to do."""
    (tmp_path / "a.png").write_bytes(picture())
    monkeypatch.setattr(reference_images, "MOST_DATA_BYTES", 10)
    with pytest.raises(Rejected, match="put it where"):
        build_image_inputs(job(tmp_path), FalOptions(image_input="image_url", mask_input="mask_url"))
