"""Gates: the best of each row, rejected images made again within the budget, whatever interrupts the run."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.core.caps.cap import CapSettings
from tasks.core.errors import ConfigError, InputError
from tasks.core.gates import Gates, KeepBest, build_option_layer, merge_gates
from tasks.core.records import Job
from tasks.ledger.accounts.caps.source import CapsSource
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.queries import sum_committed_micros
from tasks.manifest.row_gates import RULE
from tasks.metadata.exports.selection import Selection, select_jobs
from tasks.metadata.exports.tables import write_jsonl
from tasks.scores.gates.rule import build_rule
from tests.support.factories import make_job
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.support.scripted_batch import open_scripted
from tests.support.services.postgresql import PASSWORD
from tests.tasks.ledger.conftest import begin_on
from tests.tasks.scores.gates.gated import begin_budgeted_run, gated
from tests.tasks.scores.images import draw_scene, encode

BLACK = encode(Image.new("L", (64, 64)))
SOFT, SHARP = encode(draw_scene(1)), encode(draw_scene(2).resize((32, 32), Image.Resampling.NEAREST))
BEST = KeepBest(by="sharpness", best=1)


def make_row(samples: int = 4, extra: Mapping[str, Any] | None = None) -> list[Job]:
    """The samples of one row with these other columns."""
    return [make_job(number, id="fox", sample=number, line=1, extra=extra or {}) for number in range(samples)]


def script(*images: bytes) -> ScriptedBackend:
    """A backend whose images come in this order."""
    backend = ScriptedBackend()
    backend.on_fetch["fox"] = deque(images)
    return backend


async def run(
    out: Path,
    backend: ScriptedBackend,
    gates: Gates,
    *,
    budget: int | None = None,
    looks: bool = True,
    rows: list[Job] | None = None,
) -> int:
    """One run; gives the images that are missing in its end. Without `looks` it is killed before the gate sees anything."""
    budget_micros = None if budget is None else budget * PRICE_MICROS
    async with open_scripted(out, backend, rows or make_row(), budget_micros=budget_micros, concurrency=1) as batch:
        await begin_budgeted_run(batch, budget_micros)
        async with gated(batch, gates, looks=looks) as gate:
            assert batch.stop.cause is None, batch.stop.cause
            assert budget_micros is None or await sum_committed_micros(batch.engine) <= budget_micros
            assert await sum_committed_micros(batch.engine) == backend.billed.total() * PRICE_MICROS
            return gate.missing


async def export(out: Path, selection: Selection) -> list[dict[str, object]]:
    """The rows of an export."""
    text = StringIO()
    async with open_ledger(out) as engine:
        await write_jsonl(await select_jobs(engine, out, selection), text)
    return [json.loads(line) for line in text.getvalue().splitlines()]


ROW_RULE = {RULE: {"keep": {"by": "sharpness", "best": 1}, "reject": "blank", "reroll": 2}}


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize(("gates", "columns"), [(Gates(keep=BEST, reject="blank", reroll=2), {}), (Gates(), ROW_RULE)])
async def test_what_is_rejected_is_made_again_until_one_is_kept(
    out: Path, gates: Gates, columns: dict[str, Any], *, killed: bool
) -> None:
    """Four black images, a black reroll, a good one: six are paid for, also where a kill came before the first look.

    The rule is the run's, or the row's own.
    """
    backend, rows = script(*[BLACK] * 5, SOFT), make_row(extra=columns)
    if killed:
        await run(out, backend, gates, looks=False, rows=rows)
        assert backend.billed.total() == 4
    assert await run(out, backend, gates, rows=rows) == 0
    assert sorted(backend.billed.values()) == [1] * 6
    [kept] = await export(out, Selection())
    assert (kept["sample"], kept["kept"]) == (5, True)
    everything = await export(out, Selection(everything=True))
    assert [row["kept"] for row in everything] == [False] * 5 + [True]
    assert json.loads(str(everything[0]["scores"]))["kept_why"] == "rejected"
    # Nothing is left to do, and nothing is paid for.
    assert await run(out, backend, gates, rows=rows) == 0
    assert backend.billed.total() == 6


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_rows_have_rules_of_their_own(out: Path, database: str, request: pytest.FixtureRequest) -> None:
    """One row keeps its sharpest image, one rejects more than the run does, and one takes the run's rule as it is.

    On both databases, which look for a rule by functions of different names.
    """
    if database == "postgresql":
        request.getfixturevalue("monkeypatch").setenv("PGPASSWORD", PASSWORD)
        await asyncio.to_thread(begin_on, request.getfixturevalue("postgresql"), out)
    backend = ScriptedBackend()
    images = {"fox": [SOFT, SHARP], "owl": [SOFT, SHARP], "elk": [SOFT, BLACK, SHARP]}
    backend.on_fetch.update({name: deque(found) for name, found in images.items()})
    rules = {"fox": {"keep": {"by": "sharpness"}}, "owl": {"reject": "sharpness < 1e9", "reroll": 0}, "elk": None}
    rows = [
        make_job(2 * place + number, id=name, sample=number, line=place + 1, extra={RULE: rule} if rule else {})
        for place, (name, rule) in enumerate(rules.items())
        for number in range(2)
    ]
    assert await run(out, backend, Gates(reject="blank", reroll=1), rows=rows) == 2
    assert [(row["id"], row["sample"]) for row in await export(out, Selection())] == [
        ("fox", 1),
        ("elk", 0),
        ("elk", 3),
    ]
    assert backend.billed.total() == 7


async def test_a_changed_rule_of_a_row_decides_anew(out: Path) -> None:
    """The manifest planned again with `best: 2` counts one more image, without it all; nothing is paid for twice."""
    backend = script(SOFT, SHARP, SOFT, SOFT)
    kept = []
    for rule in ({"keep": {"by": "sharpness", "best": 1}}, {"keep": {"by": "sharpness", "best": 2}}, None):
        rows = make_row(extra={RULE: rule} if rule else {})
        assert await run(out, backend, Gates(), rows=rows) == 0
        kept.append(len(await export(out, Selection())))
    assert kept == [1, 2, 4]
    assert backend.billed.total() == 4


@pytest.mark.parametrize(("budget", "billed"), [(4, 4), (5, 5), (9, 6)])
async def test_rerolls_of_a_row_take_what_the_budget_leaves(out: Path, budget: int, billed: int) -> None:
    """The row's own `reroll` counts, and its rerolls never take the money of an image that was asked for."""
    backend, rows = script(*[BLACK] * 9), make_row(extra=ROW_RULE)
    assert await run(out, backend, Gates(reject="sharpness < 0", reroll=20), budget=budget, rows=rows) == 1
    assert backend.billed.total() == billed


async def test_the_sharpest_is_kept_without_rerolls(out: Path) -> None:
    """One good image is what was asked for: the rejected ones of its row are not made again."""
    backend = script(BLACK, SOFT, SHARP, BLACK)
    assert await run(out, backend, Gates(keep=BEST, reject="blank", reroll=2)) == 0
    assert [row["sample"] for row in await export(out, Selection())] == [2]
    assert backend.billed.total() == 4


async def test_without_keep_every_sample_is_asked_for(out: Path) -> None:
    """Each rejected sample has rerolls of its own, with numbers that no other image of the row has."""
    backend = script(BLACK, SOFT, SHARP, BLACK, SOFT, BLACK, SOFT)
    assert await run(out, backend, Gates(reject="blank or sharpness < 1", reroll=2)) == 0
    samples = [row["sample"] for row in await export(out, Selection(everything=True))]
    assert len(samples) == len(set(samples)) == 7
    assert len(await export(out, Selection())) == 4


@pytest.mark.parametrize(("budget", "billed"), [(4, 4), (5, 5), (9, 8)])
async def test_rerolls_take_what_the_budget_leaves(out: Path, budget: int, billed: int) -> None:
    """Never the money of a sample that has not been made; what is missing in the end is counted."""
    backend = script(*[BLACK] * 9)
    gates = Gates(keep=KeepBest(by="sharpness", best=2), reject="blank", reroll=2)
    assert await run(out, backend, gates, budget=budget) == 2
    assert backend.billed.total() == billed


async def test_caps_count_rerolls(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four rejected images leave one reroll of a cap of five; it stops the batch and is never passed."""

    async def open_source(*_: Any) -> CapsSource:
        return CapsSource([CapSettings(images=5, per="day")], None)

    monkeypatch.setattr("tasks.generate.accounts.caps.open_source", open_source)
    backend = script(*[BLACK] * 9)
    with pytest.raises(AssertionError, match="cap"):
        await run(out, backend, Gates(keep=KeepBest(by="sharpness", best=2), reject="blank", reroll=2))
    assert backend.billed.total() == 5


async def test_names_in_an_export_by_hand_always_count(out: Path) -> None:
    """An id that the user writes means the row's images, kept or not."""
    await run(out, script(SOFT, SHARP, SOFT, SOFT), Gates(keep=BEST))
    assert len(await export(out, Selection(ids=["fox"]))) == 4
    assert len(await export(out, Selection(where="kept"))) == 1


@pytest.mark.parametrize(
    ("layers", "error"),
    [
        ([{"keep": {"by": "clarity"}}], "clarity"),
        ([{"reject": "blnk"}], "blnk"),
        ([{"reject": "blank ="}], "reject: "),
        ([{"reject": "(SELECT 1)"}], "no SELECT"),
        ([{"reroll": 2}], "needs reject"),
        ([build_option_layer(best=2)], "--by"),
        ([{"keep": {"by": "blank", "best": 0}}], "keep.best"),
        ([{"reject": "blank", "reroll": 999}], "reroll"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(layers: Sequence[dict[str, object]], error: str) -> None:
    """Before anything is sent, with the name of what is wrong."""
    with pytest.raises((ConfigError, InputError), match=error):
        build_rule(merge_gates(*layers), ["light"])


def test_options_go_over_the_manifest_key_by_key() -> None:
    """`--keep-best 2` keeps the score that the manifest compares by."""
    gates = merge_gates(
        {"keep": {"by": "sharpness", "best": 1}, "reject": "blank"}, build_option_layer(best=2, rerolls=1)
    )
    assert gates == Gates(keep=KeepBest(by="sharpness", best=2), reject="blank", reroll=1)
