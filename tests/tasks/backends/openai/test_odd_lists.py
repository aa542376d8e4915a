"""Odd lists and files of the Batch API: what cannot be read never proves that nothing was paid for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tasks.backends.client.batches.service import BatchLine
from tasks.backends.openai.batch_api import BatchApi
from tasks.backends.openai.batch_backend import OpenAIBatchBackend
from tests.support.fakes.backends import open_backend
from tests.support.fakes.openai_batches import OpenAIBatches, instance
from tests.support.fakes.serving import serving

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIBatches]:
    """The service, and its key where the backend looks for it."""
    service = OpenAIBatches()
    monkeypatch.setenv("OPENAI_API_KEY", service.key)
    async with serving(service):
        yield service


@dataclass(frozen=True)
class Sent:
    """The calls of an instance, and a batch of the job `a`."""

    api: BatchApi
    batch: dict[str, Any]


@pytest.fixture
async def sent(provider: OpenAIBatches) -> AsyncIterator[Sent]:
    """A batch that is there."""
    backend = open_backend(instance(provider.url))
    assert isinstance(backend, OpenAIBatchBackend)
    api = backend._batches
    batch_id = await api.create(await api.upload([BatchLine("a", {"prompt": "x"})], "x"), "x")
    yield Sent(api, provider.batches[batch_id])
    await backend.close()


ODD_LISTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no list": lambda page: page | {"data": ""},
    "an entry that is none": lambda page: page | {"data": [None, *page["data"]]},
    "an id that is none": lambda page: page | {"data": [page["data"][0] | {"id": {"a": 1}}]},
    "no word about more": lambda _: {"data": []},
    "more after nothing": lambda _: {"data": [], "has_more": True},
    "always the same page": lambda page: (
        page | {"data": [page["data"][0] | {"metadata": {"x": "y"}}], "has_more": True}
    ),
}


@pytest.mark.parametrize("name", ODD_LISTS)
async def test_an_odd_list_of_batches_proves_nothing(name: str, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read may be the batch that was paid for."""
    page = {"data": [sent.batch], "has_more": False}
    answer_with(monkeypatch, sent.api, ODD_LISTS[name](page))
    with pytest.raises(httpx.HTTPError):
        await sent.api.created_since(LONG_AGO, ask_once)


ODD_TIMES: list[Any] = [None, "", "soon", 0, -1, True, 10**30, float("nan"), []]
ODD_METADATA: list[Any] = [None, {}, "imagen", [1]]


@pytest.mark.parametrize(
    "changes",
    [{"created_at": odd} for odd in ODD_TIMES] + [{"metadata": odd} for odd in ODD_METADATA],
)
async def test_a_batch_with_an_odd_value_may_be_the_one(
    changes: dict[str, Any], sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a time that is none nor lost metadata make it somebody else's, or end the list before the next one."""
    answer_with(monkeypatch, sent.api, {"data": [sent.batch | changes, sent.batch | {"id": "next"}], "has_more": False})
    assert [found["id"] for found in await sent.api.created_since(LONG_AGO, ask_once)] == [sent.batch["id"], "next"]


async def test_batches_of_others_are_not_read(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with other metadata, of another endpoint, or from before."""
    others: list[dict[str, Any]] = [
        {"metadata": {"a": "b"}},
        {"metadata": None, "endpoint": "/v1/responses"},
        {"created_at": 1_600_000_000},
    ]
    answer_with(monkeypatch, sent.api, {"data": [sent.batch | other for other in others], "has_more": False})
    assert await sent.api.created_since(LONG_AGO, ask_once) == []


@pytest.mark.parametrize("content", [b"", b"\n", b"<html>", b"7", b"{}", b'{"custom_id": null}', b'{"custom_id": "a"'])
async def test_a_file_without_names_proves_nothing(content: bytes, sent: Sent, provider: OpenAIBatches) -> None:
    """It would say that none of a batch's jobs was ever sent."""
    file_id = sent.batch["input_file_id"]
    assert await sent.api.custom_ids(file_id) == {"a"}
    provider.files[file_id] = content
    with pytest.raises(httpx.DecodingError):
        await sent.api.custom_ids(file_id)


async def ask_once(get: Callable[[], Awaitable[Any]]) -> Any:
    """A page that is asked for once."""
    return await get()


def answer_with(monkeypatch: pytest.MonkeyPatch, api: BatchApi, page: Any) -> None:
    """Every list is this page, at an address that a client can ask about."""

    async def get(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, text=json.dumps(page), request=httpx.Request("GET", f"http://127.0.0.1{url}"))

    monkeypatch.setattr(api._http, "get", get)
