"""Judges in a run's rule: asked as images land, each once, within the run's one budget."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError
from tasks.core.gates import Gates, KeepBest
from tasks.core.records import Job
from tasks.generate.batch import Batch
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import sum_committed_micros
from tasks.ledger.usage import FIRST_CALL
from tasks.runs.checks import check_gates
from tasks.scores.gates.gate import open_gate
from tests.support.factories import make_job
from tests.support.raw_server import RawServer, http, raw_server
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, ledger, open_scripted
from tests.tasks.scores.gates.gated import begin_budgeted_run, gated
from tests.tasks.scores.gates.test_gates import BLACK, SHARP, SOFT
from tests.tasks.scores.judge.test_judge import complete

CALL_MICROS = 10_000
YES, NO = complete("yes"), complete("no")
RULE = Gates(reject="blank or not eye", reroll=2)
CALLS = f"SELECT job_id, state, cost_micros FROM attempts WHERE number >= {FIRST_CALL}"
KEPT = "SELECT count(*) FROM scores WHERE name = 'kept' AND results LIKE '%true%'"


def build_settings(server: RawServer, **changes: Any) -> Settings:
    """A configuration with the judge `eye`."""
    eye = {"question": "A fox?", "base_url": f"{server.url}/v1", "model": "eye", "key_env": None, "concurrency": 1}
    return Settings.model_validate({"scores": {"eye": {**eye, "price_usd": CALL_MICROS / 1e6, **changes}}})


def make_row(samples: int = 2) -> list[Job]:
    """The samples of one row."""
    return [make_job(number, id="fox", sample=number, line=1) for number in range(samples)]


async def run(
    out: Path,
    images: list[bytes],
    server: RawServer,
    *,
    gates: Gates = RULE,
    budget_micros: int | None = None,
    looks: bool = True,
    told: list[str] | None = None,
) -> Batch:
    """One run; without `looks` it is killed before the gate sees anything."""
    backend, told = ScriptedBackend(), [] if told is None else told
    backend.on_fetch["fox"] = deque(images)
    async with open_scripted(out, backend, make_row(), budget_micros=budget_micros, concurrency=1) as batch:
        batch.settings = batch.settings.model_copy(update={"scores": build_settings(server).scores})
        await begin_budgeted_run(batch, budget_micros)
        before = await sum_committed_micros(batch.engine)
        async with gated(batch, gates, looks=looks) as gate:
            batch.missing, told[:] = gate.missing, gate.list_unanswered()
        committed = await sum_committed_micros(batch.engine)
        assert budget_micros is None or committed <= budget_micros
        spent = committed - before - backend.billed.total() * PRICE_MICROS
        assert 0 <= spent <= CALL_MICROS * len(server.requests)
        return batch


@pytest.mark.parametrize("killed", [False, True])
async def test_what_a_judge_rejects_is_made_again(out: Path, *, killed: bool) -> None:
    """A black image costs no call; one "no" makes one reroll; also where a kill came before the judge was asked."""
    async with raw_server(NO, YES, YES) as server:
        if killed:
            await run(out, [BLACK, SOFT], server, looks=False)
            assert not server.requests
            await run(out, [SHARP, SOFT], server)
        else:
            await run(out, [BLACK, SOFT, SHARP, SOFT], server)
        assert len(server.requests) == 3
        # Nothing is left to do, and nobody is asked again.
        await run(out, [], server)
        assert len(server.requests) == 3
    assert ledger(out, KEPT) == [(2,)]
    assert [cost for *_, cost in ledger(out, CALLS)] == [CALL_MICROS] * 3


async def test_a_rule_that_looks_for_unknown_answers_asks_about_every_image(out: Path) -> None:
    """`eye IS NULL` is true before anybody was asked, and decides nothing yet."""
    async with raw_server(YES) as server:
        await run(out, [SOFT, SHARP], server, gates=Gates(reject="eye IS NULL", reroll=2))
        assert len(server.requests) == 2
    assert ledger(out, KEPT) == [(2,)]


async def test_the_best_by_a_judges_number_is_kept(out: Path) -> None:
    """Whichever landed first."""
    async with raw_server(complete("3"), complete("8")) as server:
        batch = await run_numbers(out, server)
    assert batch.missing == 0
    [(kept,)] = ledger(out, "SELECT job_id FROM scores WHERE name = 'kept' AND results LIKE '%true%'")
    assert kept == make_row()[1].job_id


async def run_numbers(out: Path, server: RawServer) -> Batch:
    """A run whose judge gives numbers."""
    backend = ScriptedBackend()
    async with open_scripted(out, backend, make_row(), concurrency=1) as batch:
        batch.settings = batch.settings.model_copy(update={"scores": build_settings(server, answer="number").scores})
        async with open_gate(batch, Gates(keep=KeepBest(by="eye", best=1)), (), run=1) as gate:
            batch.gate = gate
            await generate_range(batch, *EVERYTHING)
            assert not await gate.settle()
        return batch


async def test_an_image_without_an_answer_counts_and_is_told(out: Path) -> None:
    """A lost answer may be on the bill: it is not asked for again, rejects nothing, and the run says so once."""
    told: list[str] = []
    async with raw_server(http("500 Oops", "{}"), YES) as server:
        await run(out, [SOFT, SHARP], server)
        await run(out, [], server, told=told)
        assert len(server.requests) == 2
    assert sorted(str(state) for _, state, _ in ledger(out, CALLS)) == ["held", "succeeded"]
    assert ledger(out, KEPT) == [(2,)]
    assert ["no answer about 1 image (1 ambiguous)" in sentence for sentence in told] == [True]


@pytest.mark.parametrize(("calls", "billed"), [(2, 2), (3, 3), (4, 4)])
async def test_rerolls_and_their_judges_take_what_the_budget_leaves(out: Path, calls: int, billed: int) -> None:
    """A reroll whose judge could not be paid for is not made, and what is missing is counted."""
    async with raw_server(NO) as server:
        batch = await run(out, [SOFT] * 8, server, budget_micros=calls * (PRICE_MICROS + CALL_MICROS))
        assert (len(server.requests), batch.stop.cause) == (billed, None)
    assert batch.missing == 2


async def test_a_wrong_key_stops_the_run(out: Path) -> None:
    """The images stay, nothing was paid for judging, and the next run asks."""
    async with raw_server(http("401 No", '{"error": {"message": "bad key"}}')) as server:
        batch = await run(out, [SOFT, SHARP], server)
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "token"
    async with raw_server(YES) as server:
        await run(out, [SHARP], server)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("changes", "columns", "rule", "error"),
    [
        ({"key_env": "NO_SUCH_KEY"}, {}, {"keep": {"by": "eye"}}, "set NO_SUCH_KEY"),
        ({"question": "A {animal}?"}, {}, {"reject": "not eye"}, "'animal'"),
        ({}, {"carried": ["Eye"]}, {"reject": "eye = 0"}, "rename the judge"),
        ({}, {}, {"reject": "eye_reason ="}, "reject: "),
        ({}, {}, {"keep": {"by": "ear"}}, "there are: .*eye"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_refused_before_anything_is_paid(
    changes: dict[str, Any], columns: dict[str, Any], rule: dict[str, Any], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the check of the manifest."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    settings = build_settings(RawServer("http://127.0.0.1:1", []), **changes)
    with pytest.raises(Exception, match=error) as refused:
        check_gates(Gates.model_validate(rule), columns, settings.scores)
    assert isinstance(refused.value, ConfigError) or "reject" in str(refused.value)


def test_a_judge_has_no_name_of_the_gates() -> None:
    """Its answers would overwrite what was decided."""
    with pytest.raises(ValueError, match="call the judge something else"):
        Settings.model_validate({"scores": {"kept": json.loads('{"question": "?", "model": "m", "price_usd": 0}')}})
