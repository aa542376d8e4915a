"""The whole way against the images API: nothing is paid for twice, and no answer is lost without a word."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import ImagenError, Throttled
from tasks.core.records import EndedFilter, JobState
from tasks.generate.jobs import generate_range
from tasks.ledger.jobs import reopen
from tasks.ledger.queries import count_jobs
from tests.support.fakes.backends import EVERYTHING, batch_at, generate, make_instance_job, open_backend
from tests.support.fakes.openai_images import INPUT_TOKENS, OUTPUT_TOKENS, OpenAIImages
from tests.support.fakes.serving import serving
from tests.support.raw_server import http, raw_server
from tests.support.scripted_backend import picture
from tests.support.scripted_batch import ledger

COST_MICROS = INPUT_TOKENS * 5 + OUTPUT_TOKENS * 32


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIImages]:
    """The service, and its key where the backend looks for it."""
    service = OpenAIImages()
    monkeypatch.setenv("OPENAI_API_KEY", service.key)
    async with serving(service):
        yield service


def instance(provider: OpenAIImages, **changes: Any) -> dict[str, Any]:
    """An instance that talks to it."""
    return {
        "type": "openai",
        "model": "gpt-image-1.5",
        "api_base": f"{provider.url}/v1",
        "quality": "low",
        **changes,
    }


async def run(out: Path, provider: OpenAIImages, jobs: int = 3, **changes: Any) -> Any:
    """Generate so many jobs and count."""
    chosen = instance(provider, **changes)
    return await generate(out, chosen, [make_instance_job(chosen, number) for number in range(jobs)])


async def test_a_batch_without_faults(out: Path, provider: OpenAIImages) -> None:
    """Every job one call and one picture, priced by the tokens that the service counted."""
    counts = await run(out, provider, 20)
    assert (counts.succeeded, counts.cost_micros) == (20, 20 * COST_MICROS)
    assert len(provider.created) == 20
    assert ledger(out, "SELECT DISTINCT cost_source FROM attempts") == [("reported",)]
    assert len(set(provider.client_request_ids)) == 20


@pytest.mark.parametrize("fault", ["as_url", "no_usage"])
async def test_answers_of_other_servers(fault: str, out: Path, provider: OpenAIImages) -> None:
    """Pictures at an address are fetched without the key; without tokens the cost is unknown, never 0."""
    provider.break_(fault)
    counts = await run(out, provider)
    assert (counts.succeeded, provider.key_leaks) == (3, 0)
    assert counts.cost_unknown == (3 if fault == "no_usage" else 0)


@pytest.mark.parametrize(("price_usd", "source", "cost_micros"), [(0.05, "priced", 50_000), (0.0, "free", 0)])
async def test_the_users_own_price_wins_over_tokens(
    price_usd: float, source: str, cost_micros: int, out: Path, provider: OpenAIImages
) -> None:
    """And says so."""
    counts = await run(out, provider, 1, price_usd=price_usd)
    assert counts.cost_micros == cost_micros
    assert ledger(out, "SELECT cost_source FROM attempts") == [(source,)]


@pytest.mark.parametrize("fault", ["throttled", "throttled_words"])
async def test_a_429_is_no_attempt(fault: str, provider: OpenAIImages) -> None:
    """It says when to come again and how often, by its headers or in words."""
    provider.break_(fault)
    backend = open_backend(instance(provider))
    with pytest.raises(Throttled) as caught:
        await backend.submit(make_instance_job(instance(provider)), attempt=1)
    await backend.close()
    expected = (90.0, 50.0) if fault == "throttled" else (12.0, 5.0)
    assert (caught.value.retry_after_s, caught.value.creates_per_min) == expected
    assert provider.created == []


HELD = ["server_error", "overloaded_html", "drop_before", "drop_after", "drop_middle"]


@pytest.mark.parametrize("fault", HELD)
async def test_what_ends_without_a_whole_answer_is_held(fault: str, out: Path, provider: OpenAIImages) -> None:
    """Nobody can tell whether it was made: one call, and no other until the user says so."""
    provider.break_(fault, 1)
    counts = await run(out, provider, 1)
    again = await run(out, provider, 1)
    assert (counts.held, again.held, provider.requests["generate"]) == (1, 1, 1)
    [(message,)] = ledger(out, "SELECT error_message FROM jobs")
    assert "keeps no list" in str(message)
    async with batch_at(out, instance(provider), [make_instance_job(instance(provider))]) as batch:
        await reopen(batch.engine, EndedFilter(frozenset({JobState.HELD})))
        await generate_range(batch, *EVERYTHING)
        assert (await count_jobs(batch.engine)).succeeded == 1
    assert provider.requests["generate"] == 2


@pytest.mark.parametrize("fault", ["not_json", "damaged_base64"])
async def test_an_answer_that_cannot_be_read_is_never_paid_again_by_itself(
    fault: str, out: Path, provider: OpenAIImages
) -> None:
    """It came, so it may have been billed: one call, and its cost is unknown rather than 0."""
    provider.break_(fault, 1)
    counts = await run(out, provider, 1)
    again = await run(out, provider, 1)
    assert (dict(counts.errors), counts.cost_unknown) == ({"unreadable_answer": 1}, 1)
    assert (again.succeeded, provider.requests["generate"]) == (0, 1)


async def test_a_kept_answer_is_read_again_without_a_call(provider: OpenAIImages) -> None:
    """What was paid for is taken out of the answer as it came, and priced as it would have been."""
    chosen = instance(provider)
    backend = open_backend(chosen)
    raw = json.dumps(provider.image({"prompt": "a fox"})).encode()
    ended = backend.reread(make_instance_job(chosen), raw)  # type: ignore[attr-defined]  # not every backend has it
    assert (await backend.fetch(make_instance_job(chosen), ended), ended.cost_micros) == (
        ended.output.image,
        COST_MICROS,
    )
    await backend.close()
    assert provider.requests["generate"] == 0


async def test_an_answer_that_never_comes_is_held(out: Path, provider: OpenAIImages) -> None:
    """It is given up after the time-out."""
    provider.break_("hang_after", 1)
    assert (await run(out, provider, 1, timeout_s=0.3)).held == 1


async def test_where_pictures_are_free_a_lost_call_is_sent_again(out: Path, provider: OpenAIImages) -> None:
    """A server of one's own: `price_usd: 0` says that there is nothing to lose."""
    provider.break_("drop_after", 1)
    counts = await run(out, provider, 1, price_usd=0.0)
    assert (counts.succeeded, counts.cost_micros, len(provider.created)) == (1, 0, 2)


@pytest.mark.parametrize(
    ("fault", "kind", "unknown"),
    [
        ("moderation_prompt", "moderation", 0),
        ("moderation_output", "moderation", 3),
        ("invalid", "invalid", 0),
        ("no_data", "moderation", 0),
    ],
)
async def test_ends_without_a_picture(fault: str, kind: str, unknown: int, out: Path, provider: OpenAIImages) -> None:
    """Failed with their kind and what is known of their cost; nothing is sent again."""
    provider.break_(fault)
    counts = await run(out, provider)
    assert (dict(counts.errors), counts.cost_unknown) == ({kind: 3}, unknown)
    assert provider.requests["generate"] == 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("unauthorized", "token"),
        ("not_verified", "access"),
        ("insufficient_quota", "credit"),
        ("billing_hard_limit", "credit"),
    ],
)
async def test_what_concerns_the_account_stops_the_batch(
    fault: str, reason: str, out: Path, provider: OpenAIImages
) -> None:
    """Nobody's job is failed for it; with the account in order the batch goes on."""
    provider.break_(fault)
    jobs = [make_instance_job(instance(provider), number) for number in range(5)]
    async with batch_at(out, instance(provider, concurrency=1), jobs) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == reason
        assert (await count_jobs(batch.engine)).failed == 0
    provider.faults.clear()
    assert (await run(out, provider, 5)).succeeded == 5


async def test_a_picture_whose_run_was_killed_before_it_was_stored_is_said_to_be_lost(
    out: Path, provider: OpenAIImages
) -> None:
    """The id is in the ledger, the picture nowhere: failed as `output_gone`, and paid again only when asked for."""
    chosen, job = instance(provider), make_instance_job(instance(provider))
    async with batch_at(out, chosen, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=9_000, now_us=batch.clock.now_us())
        sent = await batch.backend("api").submit(job, attempt=1)
        batch.journal.record_submitted(job, number=1, prediction=sent, retries=0, now_us=batch.clock.now_us())
    counts = await generate(out, chosen, [job])
    assert (dict(counts.errors), counts.cost_unknown, len(provider.created)) == ({"output_gone": 1}, 1, 1)


async def test_a_call_that_a_kill_interrupted_is_held(out: Path, provider: OpenAIImages) -> None:
    """Its intent is in the ledger and no answer."""
    chosen, job = instance(provider), make_instance_job(instance(provider))
    async with batch_at(out, chosen, [job]) as batch:
        await batch.journal.record_intent(job, number=1, reserved_micros=9_000, now_us=batch.clock.now_us())
    counts = await generate(out, chosen, [job])
    assert (counts.held, len(provider.created)) == (1, 0)


async def test_a_budget_is_kept(out: Path, provider: OpenAIImages) -> None:
    """What is set aside is the dearest picture of this quality; what was not used comes back."""
    chosen = instance(provider)
    jobs = [make_instance_job(chosen, number) for number in range(10)]
    async with batch_at(out, chosen, jobs, budget_micros=3 * COST_MICROS + 3_000) as batch:
        await generate_range(batch, *EVERYTHING)
        counts = await count_jobs(batch.engine)
    assert counts.succeeded == 2
    assert counts.cost_micros <= 3 * COST_MICROS + 3_000


LITELLM = [
    (
        "400 Bad Request",
        {"type": "image_generation_user_error", "code": "400", "message": "rejected by the safety system"},
        "moderation",
    ),
    (
        "429 Too Many Requests",
        {"type": "throttling_error", "code": "429", "message": "You exceeded your current quota"},
        "credit",
    ),
    ("400 Bad Request", {"type": "no_db_connection", "code": "400", "message": "No connected db."}, "token"),
    ("500 Internal Server Error", {"type": "internal_server_error", "code": "500", "message": "oops"}, "ambiguous"),
]


@pytest.mark.parametrize(("status", "error", "kind"), LITELLM)
async def test_what_a_gateway_s_errors_mean(status: str, error: dict[str, str], kind: str) -> None:
    """LiteLLM's proxy gives its providers' errors codes of its own: words and types tell them apart."""
    async with raw_server(http(status, json.dumps({"error": error}))) as server:
        chosen = {"type": "openai", "model": "gpt-image-1.5", "api_base": f"{server.url}/v1", "api_key_env": None}
        backend = open_backend(chosen)
        with pytest.raises(ImagenError) as caught:
            await backend.submit(make_instance_job(chosen), attempt=1)
        await backend.close()
    assert (getattr(caught.value, "reason", None) or getattr(caught.value, "error_kind", None)) == kind


@pytest.mark.parametrize(
    ("header", "price_usd", "micros"),
    [
        ("0.008754", None, 8_754),
        ("0.01", None, 10_000),
        ("99", None, 8_754),
        ("nan", None, 8_754),
        ("0.01", 0.05, 50_000),
    ],
)
async def test_the_cost_that_a_gateway_states(header: str, price_usd: float | None, micros: int) -> None:
    """It is believed within reason; the user's own price wins."""
    usage = {"input_tokens": 10, "output_tokens": 272}
    body = json.dumps({"data": [{"b64_json": base64.b64encode(picture()).decode()}], "usage": usage})
    async with raw_server(http("200 OK", body, x_litellm_response_cost=header)) as server:
        chosen = {
            "type": "openai",
            "model": "gpt-image-1.5",
            "api_base": f"{server.url}/v1",
            "api_key_env": None,
            "price_usd": price_usd,
        }
        backend, job = open_backend(chosen), make_instance_job(chosen)
        ended = await backend.wait(job, await backend.submit(job, attempt=1))
        await backend.close()
    assert ended.cost_micros == micros


async def test_wrong_certificates_stop_the_batch_and_hold_nothing(
    out: Path, provider: OpenAIImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE is corrected once for all jobs; none of them was sent."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    chosen = instance(provider)
    async with batch_at(out, chosen, [make_instance_job(chosen)]) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert "SSL_CERT_FILE" in str(batch.stop.cause)
    assert ledger(out, "SELECT state FROM jobs") == [("planned",)]
    assert provider.created == []
