"""Pictures that start from pictures, through an API that is only described."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.base import supported_inputs
from tasks.core.errors import ConfigError
from tasks.store.references import build_data_address, find_reference
from tests.support.fakes.backends import generate, make_instance_job, open_backend
from tests.support.fakes.json_api import JsonApi, at_once
from tests.support.fakes.serving import serving
from tests.support.scripted_backend import picture

ADDRESS = "https://example.com/a.png"
BODY = {"p": "{prompt}", "start": {"from": "{image}"}, "raw": "{image_base64}", "m": "{mask}"}


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[JsonApi]:
    """The service, its key, and a picture."""
    service = JsonApi()
    monkeypatch.setenv("ANY_KEY", service.key)
    (tmp_path / "a.png").write_bytes(picture())
    async with serving(service):
        yield service


def instance(provider: JsonApi, body: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An instance whose create has this body."""
    plain = at_once(provider.url, "raw")
    return {**plain, "create": {**plain["create"], "body": body, **more}}


async def test_a_file_is_sent_as_the_template_says(out: Path, tmp_path: Path, provider: JsonApi) -> None:
    """As a data address and as bare base64; a mask that the row does not have is left out."""
    chosen = instance(provider, BODY)
    assert set(supported_inputs(open_backend(chosen))) == {"image", "mask"}
    counts = await generate(out, chosen, [make_instance_job(chosen, image=find_reference("a.png", tmp_path))])
    assert counts.succeeded == 1
    [sent] = provider.created
    assert sent["start"] == {"from": build_data_address(picture())}
    assert sent["raw"] == base64.b64encode(picture()).decode()
    assert "m" not in sent


async def test_an_address_is_sent_as_it_is(out: Path, tmp_path: Path, provider: JsonApi) -> None:
    """Nobody here fetches it."""
    chosen = instance(provider, {"p": "{prompt}", "start": "{image}"})
    assert set(supported_inputs(open_backend(chosen))) == {"image"}
    await generate(out, chosen, [make_instance_job(chosen, image=find_reference(ADDRESS, tmp_path))])
    assert provider.created[0]["start"] == ADDRESS


async def test_an_address_where_the_template_wants_bytes_is_refused(
    out: Path, tmp_path: Path, provider: JsonApi
) -> None:
    """Beforehand, and at the latest before it is sent."""
    chosen = instance(provider, {"p": "{prompt}", "raw": "{image_base64}"})
    job = make_instance_job(chosen, image=find_reference(ADDRESS, tmp_path))
    assert open_backend(chosen).problems(job) == ["image: an address cannot be sent as {image_base64}; give a file"]
    counts = await generate(out, chosen, [job])
    assert (dict(counts.errors), provider.requests["create"]) == ({"input_image": 1}, 0)


def test_pictures_stand_in_the_body_only(provider: JsonApi) -> None:
    """No header and no address has room for them."""
    with pytest.raises(ConfigError, match=r"create.headers: \{image\} is no placeholder here"):
        open_backend(instance(provider, {"p": "{prompt}"}, headers={"X-Image": "{image}"}))
    assert not supported_inputs(open_backend(instance(provider, {"p": "{prompt}"})))
