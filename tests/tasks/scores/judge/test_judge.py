"""A judge against a server on loopback: answers read or refused by name, money in the batch's own budget, nothing paid twice."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError, InputError
from tasks.core.judge import JudgeSettings
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.queries import count_jobs, sum_committed_micros
from tasks.ledger.usage import FIRST_CALL, AttemptKey, read_usage_pages
from tasks.scores.judge.judge import Again
from tasks.scores.score_batch import Judging, Scored, score_batch
from tasks.store.output.folder import OutputFolder
from tasks.usage.rows import build_usage_row
from tests.support.factories import FakeClock, make_job
from tests.support.raw_server import RawServer, http, raw_server
from tests.tasks.scores.images import draw_scene, encode, write_images

PRICE_USD = 0.01
PRICE_MICROS = 10_000


def complete(content: Any, *, tokens: int | None = None, **message: Any) -> bytes:
    """A chat completion with this content."""
    body: dict[str, Any] = {"choices": [{"message": {"content": content, **message}}]}
    if tokens is not None:
        body["usage"] = {"prompt_tokens": tokens, "completion_tokens": 10}
    return http("200 OK", json.dumps(body))


YES = complete('{"answer": "yes", "reason": "it is orange"}')
LOST = None


@pytest.fixture
async def batch(out: Path) -> Path:
    """A batch of two images whose rows name an animal."""
    jobs = [make_job(number, extra={"animal": animal}) for number, animal in enumerate(["fox", "owl"])]
    await write_images(out, [(job, encode(draw_scene(number))) for number, job in enumerate(jobs)])
    return out


async def judge(
    out: Path,
    server: RawServer,
    *,
    budget: float | None = None,
    again: Again | None = None,
    caps: Sequence[dict[str, Any]] = (),
    **changes: Any,
) -> Scored:
    """One `imagen score --with judge`."""
    given = {"question": "Is it a {animal}?", "base_url": f"{server.url}/v1", "model": "eye", "key_env": None}
    settings = Settings.model_validate(
        {"scores": {"judge": {**given, "price_usd": PRICE_USD, "concurrency": 1, **changes}}, "caps": list(caps)}
    )
    judging = Judging(settings, budget, again or Again())
    return await score_batch(OutputFolder(out), ["judge"], judges=judging, clock=FakeClock().clock)


def read(out: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of the ledger."""
    with sqlite3.connect(out / "ledger.db") as db:
        rows = db.execute(query).fetchall()
    db.close()
    return rows


async def sum_money(out: Path) -> tuple[int, int, int]:
    """What the budget counts, what the summary shows, and what the usage rows add up to."""
    async with open_ledger(out) as engine:
        usage, seen = 0, set[AttemptKey]()
        async for page in read_usage_pages(engine, 100, without=seen):
            usage += sum(build_usage_row(row, batch="", models={}).cost_micros or 0 for row in page)
            seen.update((row["job_id"], row["number"]) for row in page)  # or the same page comes again
        return await sum_committed_micros(engine), (await count_jobs(engine)).cost_micros, usage


CALLS = f"SELECT state, error_kind, cost_micros FROM attempts WHERE number >= {FIRST_CALL} ORDER BY started_at_us"


@pytest.mark.parametrize(
    ("first", "end"),
    [
        pytest.param(http("429 Too Many", "{}", Retry_After="3"), ("succeeded", None, PRICE_MICROS), id="429"),
        pytest.param(http("500 Oops", "{}"), ("held", "ambiguous", None), id="500"),
        pytest.param(LOST, ("held", "ambiguous", None), id="answer lost"),
        pytest.param(http("200 OK", "<html>"), ("failed", "unreadable_answer", PRICE_MICROS), id="garbage"),
        pytest.param(http("200 OK", "[]"), ("failed", "unreadable_answer", PRICE_MICROS), id="odd JSON"),
        pytest.param(http("200 OK", '{"choices": [null]}'), ("failed", "unreadable_answer", PRICE_MICROS), id="null"),
        pytest.param(complete(None, refusal="I cannot"), ("failed", "moderation", PRICE_MICROS), id="refusal"),
        pytest.param(complete("I would say so."), ("failed", "no_answer", PRICE_MICROS), id="no answer"),
        pytest.param(complete('{"answer": [1]}'), ("failed", "no_answer", PRICE_MICROS), id="odd answer"),
        pytest.param(http("400 Bad", '{"error": {"message": "too big"}}'), ("failed", "invalid", 0), id="400"),
        pytest.param(complete('```json\n{"Answer": "No"}\n```'), ("succeeded", None, PRICE_MICROS), id="fenced"),
        pytest.param(
            complete([{"type": "text", "text": "Yes, it is."}]), ("succeeded", None, PRICE_MICROS), id="parts"
        ),
    ],
)
async def test_each_fault_ends_its_image_and_no_other(batch: Path, first: bytes | None, end: tuple[Any, ...]) -> None:
    """The next image is judged, a second command asks nobody, and every sum of money is the same."""
    async with raw_server(first, YES) as server:
        await judge(batch, server)
        assert read(batch, CALLS) == [end, ("succeeded", None, PRICE_MICROS)]
        asked = len(server.requests)
        await judge(batch, server)
        assert len(server.requests) == asked
    committed, shown, usage = await sum_money(batch)
    # A call that may have been billed counts as what was reserved for it.
    assert committed - shown == (PRICE_MICROS if end[2] is None else 0)
    assert usage == shown


async def test_answers_are_columns_and_name_their_question(batch: Path) -> None:
    """With the row's own value in it; the request holds the image, and the key nowhere else."""
    async with raw_server(YES, complete('{"answer": false}')) as server:
        scored = await judge(batch, server)
    assert scored.judged == {"judge": {"judged": 2}}
    results = [json.loads(text) for (text,) in read(batch, "SELECT results FROM scores ORDER BY results DESC")]
    assert results[0] == {"judge": True, "judge_question": "Is it a fox?", "judge_reason": "it is orange"}
    assert results[1] == {"judge": False, "judge_question": "Is it a owl?"}
    assert "data:image/jpeg;base64," in server.requests[0]


async def test_another_question_or_file_is_asked_anew(batch: Path) -> None:
    """The same one never is."""
    async with raw_server(YES) as server:
        await judge(batch, server)
        await judge(batch, server, question="Is a {animal} in it?")
        assert len(server.requests) == 4
        await judge(batch, server, question="Is a {animal} in it?")
        assert len(server.requests) == 4


async def test_caps_count_calls_and_no_images(batch: Path) -> None:
    """A cap on dollars stops at the call that would pass it; one on images that is full stops none."""
    async with raw_server(YES) as server:
        dollars = {"usd": PRICE_USD * 1.5, "per": "day", "model": "eye"}
        scored = await judge(batch, server, caps=[dollars, {"images": 0, "per": "day"}])
        assert len(server.requests) == 1
        assert scored.stopped is not None
        assert "cap of" in str(scored.stopped)
        await judge(batch, server)
        assert len(server.requests) == 2


async def test_a_kill_before_the_answer_holds_the_image(batch: Path) -> None:
    """It may be on the bill: only --retry-held asks again, and both calls count."""
    async with raw_server(YES) as server:
        await judge(batch, server)
        with sqlite3.connect(batch / "ledger.db") as db:
            db.execute("DELETE FROM scores")
            db.execute("UPDATE attempts SET state = 'submitting', ended_at_us = NULL, cost_micros = NULL")
        db.close()
        scored = await judge(batch, server)
        assert (scored.judged["judge"], len(server.requests)) == ({"ambiguous": 2}, 2)
        assert (await judge(batch, server, again=Again(held=True))).judged["judge"] == {"judged": 2}
    assert (await sum_money(batch))[0] == 4 * PRICE_MICROS


async def test_the_budget_is_the_batch_s(batch: Path) -> None:
    """A second call that it does not allow is not sent; the command says why and can be repeated."""
    async with raw_server(YES) as server:
        scored = await judge(batch, server, budget=1.5 * PRICE_USD)
        assert len(server.requests) == 1
        assert scored.stopped is not None
        assert scored.stopped.reason == "budget"
        assert (await judge(batch, server, budget=1)).judged["judge"] == {"judged": 1}


async def test_tokens_have_prices_and_are_not_believed_blindly(batch: Path) -> None:
    """A count that is none leaves the price of the call."""
    async with raw_server(complete("yes", tokens=1_000), complete("no", tokens=-5)) as server:
        await judge(batch, server, input_million_tokens=2.0, output_million_tokens=10.0)
    assert [cost for *_, cost in read(batch, CALLS)] == [2_100, PRICE_MICROS]


async def test_a_wrong_key_stops_at_the_first_call(batch: Path) -> None:
    """Nothing is paid, and the second image is not tried."""
    async with raw_server(http("401 No", '{"error": {"message": "bad key"}}')) as server:
        scored = await judge(batch, server)
        assert len(server.requests) == 1
    assert scored.stopped is not None
    assert scored.stopped.reason == "token"
    assert await sum_money(batch) == (0, 0, 0)


async def test_a_row_without_the_column_is_skipped(batch: Path) -> None:
    """No question with a hole in it is paid for."""
    async with raw_server(YES) as server:
        scored = await judge(batch, server, question="In {style}?")
        assert not server.requests
    assert len(scored.skipped) == 2


@pytest.mark.parametrize("question", ["{", "{0.__class__}", "{a!r}", "{}", " "])
def test_a_question_holds_names_only(question: str) -> None:
    """Python's templates would read attributes of whatever stands there."""
    with pytest.raises(ValidationError):
        JudgeSettings(question=question, model="eye", price_usd=0)


async def test_a_key_does_not_travel_unprotected(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is anybody called without the key that is named."""
    monkeypatch.delenv("EYE_KEY", raising=False)
    server = RawServer("http://eye.example", [])
    with pytest.raises(ConfigError, match="set EYE_KEY"):
        await judge(batch, server, key_env="EYE_KEY")
    monkeypatch.setenv("EYE_KEY", "k")
    with pytest.raises(ConfigError, match="plain http"):
        await judge(batch, server, key_env="EYE_KEY")


def test_a_batch_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As every reading command does."""
    with pytest.raises(InputError):
        asyncio.run(judge(tmp_path / "none", RawServer("http://127.0.0.1:1", [])))
