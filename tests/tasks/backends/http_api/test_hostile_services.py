"""Services that say no with a 200, or give addresses and words that few others give: one table for each kind."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import Ambiguous, BatchStopped, JobError, NotCreated, OutputGone, Refused
from tests.support.certificates import make_certificate
from tests.support.raw_server import RawServer, http, raw_server
from tests.tasks.backends.http_api.test_powers import ENCODED, IMAGE, answer, described, make, polled

BY_ADDRESS = {"output": {"kind": "url", "at": "/image"}}
DELIVERED = http("200 OK", "\x01image", "image/png")


@pytest.mark.parametrize("is_polled", [True, False])
@pytest.mark.parametrize(
    ("document", "changes", "reason"),
    [
        ({"code": 402, "msg": "insufficient credits"}, {}, "credit"),
        ({"error": "Invalid API key"}, {}, "token"),
        ({"ok": False, "why": "daily cap"}, {"error": "/why", "quota": ["daily"]}, "credit"),
        ({"ok": False, "left": 0}, {"quota_when": [{"at": "/left", "is": 0}]}, "credit"),
    ],
)
async def test_a_wrong_key_or_an_empty_account_in_a_200_stops_the_batch(
    document: Any, changes: Any, reason: str, *, is_polled: bool
) -> None:
    """Nothing was made, so no job is held or failed for it."""
    async with raw_server(answer(document)) as server:
        with pytest.raises(BatchStopped) as caught:
            await make((polled if is_polled else described)(server, **changes))
        assert len(server.requests) == 1
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("document", "changes", "error", "cost_micros"),
    [
        ({"error": "flagged by content moderation"}, {}, Refused, None),
        ({"state": "blocked"}, {"refused_when": [{"at": "/state", "is": "blocked"}]}, Refused, None),
        ({"bad": 1}, {"failed_when": [{"at": "/bad", "is": 1}], "failures_are_free": True}, JobError, 0),
        # What nobody configured proves nothing: it may have been created.
        ({"error": None}, {}, Ambiguous, None),
        ({"message": "we are busy"}, {}, Ambiguous, None),
    ],
)
async def test_a_create_without_an_id_is_explained_by_its_answer(
    document: Any, changes: Any, error: type[JobError], cost_micros: int | None
) -> None:
    """A configured no is a no; anything else is held, with the service's words."""
    async with raw_server(answer(document)) as server:
        with pytest.raises(JobError) as caught:
            await make(polled(server, **changes))
    assert document.get("message", "") in str(caught.value)
    assert (type(caught.value), caught.value.cost_micros) == (error, cost_micros)


async def test_an_id_beside_a_message_is_no_refusal() -> None:
    """Words count only where nothing was made."""
    created = {"id": "1", "message": "note: your credit balance is too low for more"}
    async with raw_server(answer(created), answer({"status": "Ready", "image": ENCODED})) as server:
        assert (await make(polled(server)))[1] == IMAGE


async def test_an_address_that_has_run_out_is_asked_for_anew() -> None:
    """Once: the image is paid for, and each look of such a service signs another address."""
    looks = [answer({"status": "Ready", "image": f"/a?signed={number}"}) for number in range(2)]
    gone = http("403 Forbidden", "expired")
    async with raw_server(answer({"id": "1"}), looks[0], gone, looks[1], DELIVERED) as server:
        ended, data = await make(polled(server, **BY_ADDRESS))
    assert (data, ended.cost_micros) == (b"\x01image", 40_000)
    for again in (looks[1], looks[0]):  # another address that is refused too, and the same one
        async with raw_server(answer({"id": "1"}), looks[0], gone, again, gone) as server:
            with pytest.raises(OutputGone) as caught:
                await make(polled(server, **BY_ADDRESS))
        assert caught.value.cost_micros == 40_000


@pytest.mark.parametrize("address", ["http://[::1", "//evil.example/x", "file:///etc/passwd", "javascript:alert(1)"])
async def test_an_image_s_address_that_leads_elsewhere_fails_its_job_at_its_price(address: str) -> None:
    """The image was made; nothing is fetched, and nothing breaks."""
    async with raw_server(answer({"image": address})) as server:
        with pytest.raises(JobError) as caught:
            await make(described(server, **BY_ADDRESS))
        assert len(server.requests) == 1
    assert (caught.value.error_kind, caught.value.cost_micros) == ("foreign_host", 40_000)


@pytest.mark.parametrize(
    "head", ["data:image/png;charset=utf-8;base64,", "DATA:image/png;base64,", "data:image/png;base64;charset=x,"]
)
@pytest.mark.parametrize("kind", ["url", "base64"])
async def test_a_data_address_is_read_in_any_spelling(head: str, kind: str) -> None:
    """In place of an address and of base64."""
    async with raw_server(answer({"image": head + ENCODED})) as server:
        assert (await make(described(server, output={"kind": kind, "at": "/image"})))[1] == IMAGE


@pytest.mark.parametrize(
    "words",
    [
        "输入内容包含敏感词",
        "不適切なコンテンツです",
        "OutputImageSensitiveContentDetected",
        "DataInspectionFailed: see docs",
    ],
)
async def test_a_refusal_in_another_language_is_told_apart(words: str) -> None:
    """So its job does not count as one of a wrong parameter."""
    async with raw_server(answer({"error": {"message": words}}, "400 Bad Request")) as server:
        with pytest.raises(Refused):
            await make(described(server))


async def test_a_certificate_that_nobody_knows_costs_nothing_and_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of one's own often has one: nothing has left, and the variable to name it in is told."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    made = make_certificate()
    (tmp_path / "all.pem").write_text(made.key + made.chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "all.pem")
    seen = RawServer("", [answer({"image": "x"})])
    server = await asyncio.start_server(seen.answer, "127.0.0.1", 0, ssl=context)
    seen.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(NotCreated, match=r"CERTIFICATE_VERIFY_FAILED.* name its certificate in SSL_CERT_FILE"):
        await make(described(seen))
    server.close()
    assert seen.requests == []
