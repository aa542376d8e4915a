"""The part of a batch that an export takes: every form gives the same jobs, and a wrong selection is told."""

from __future__ import annotations

import csv
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import InputError
from tasks.ledger.database.connect import open_ledger
from tasks.metadata.exports import where
from tasks.metadata.exports.export import export_batch
from tasks.metadata.exports.selection import SelectedJobs, Selection
from tasks.metadata.exports.targets import ExportFormat
from tasks.report.review.judging import judge_ids
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job, plan_jobs
from tests.support.query_plans import explaining
from tests.tasks.metadata.exports.conftest import copy_made, make_batch

ROWS: dict[str, dict[str, Any]] = {
    "fox": {"light": "dawn", "score": "9", "code": "0010", "shot name": "wide"},
    "owl": {"light": "dusk", "score": "10", "code": "10", "deep": {"a": [1]}},
    "elk": {"score": "2.5", "Light": "dawn", "rating": "5", "big": 2**70},
    "refused": {"light": "dawn", "score": "11", "on": True},
}


@pytest.fixture
async def chosen_from(batches: Path, out: Path) -> Path:
    """Three images and a failure; the fox has two samples, is picked, and the owl is rejected."""
    return await copy_made(batches / "chosen_from", out, make_chosen_from)


async def make_chosen_from(out: Path) -> None:
    """Run it, and judge."""
    jobs = [make_job(number, id=name, extra=extra) for number, (name, extra) in enumerate(ROWS.items())]
    jobs.append(replace(make_job(9, id="fox", extra=ROWS["fox"]), sample=1))
    await make_batch(out, jobs)
    output = OutputFolder(out)
    await judge_ids(output, [jobs[0].job_id], reviewer="ann", verdict="pick", rating=4)
    await judge_ids(output, ["owl"], reviewer="ann", verdict="reject")


async def select(out: Path, tmp_path: Path, **wanted: Any) -> list[str]:
    """Ids and samples of the selected jobs, as the table has them."""
    path = tmp_path / "table.jsonl"
    await export_batch(OutputFolder(out), ExportFormat.JSONL, path, overwrite=True, selection=Selection(**wanted))
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [f"{row['id']}-{row['sample']}" for row in rows]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("light = 'dawn'", ["fox-0", "elk-0", "refused-0", "fox-1"]),
        ("LIGHT = 'dawn' AND status = 'succeeded'", ["fox-0", "elk-0", "fox-1"]),
        ("score > 9", ["owl-0", "refused-0"]),
        ("code = '0010'", ["fox-0", "fox-1"]),
        ("\"shot name\" LIKE 'w%'", ["fox-0", "fox-1"]),
        ("extra ->> '$.deep.a[0]' = 1 -- the first", ["owl-0"]),
        ("rating = 4", ["fox-0"]),
        ('"on" AND prompt NOT LIKE \'%"%\'', ["refused-0"]),
        ("big > 9", ["elk-0"]),
        ("width = 32 AND created_at > '2020-01-01'", ["fox-0", "owl-0", "elk-0", "fox-1"]),
        ("light IS NULL", []),
    ],
)
async def test_a_condition_reads_the_columns_of_table_and_manifest(
    expression: str, expected: list[str], chosen_from: Path, tmp_path: Path
) -> None:
    """Without case, numbers of a CSV file as numbers, codes as texts; the table's columns come before the manifest's."""
    assert await select(chosen_from, tmp_path, where=expression) == expected


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("lihgt = 'dawn'", "no column 'lihgt'. Columns of the manifest: light, score"),
        ("\"lihgt\" = 'dawn'", "no column 'lihgt'"),
        ('light = "dawn"', "single quotes: 'dawn'"),
        ("light == == 'dawn'", 'near "=="'),
        ("light = 'dawn", "unrecognized token"),
        ("light", "gives a text"),
        ("", "is empty"),
        ("1, 1", "row value"),
        ("1), (1", 'near ","'),
        ("1) FROM images; DROP TABLE images; --", "more than one statement"),
        ("score > (SELECT avg(score) FROM images)", "no SELECT"),
        ("count(*) > 1", "misuse of aggregate"),
        ("row_number() OVER () = 1", "no SELECT, and no function"),
        ("1) FROM sqlite_master WHERE (1", "--where"),
        ("random() > 0", "chance"),
        ("rowid = 1", "no column 'rowid'"),
        ("total_changes() > 3", "counts rows"),
        ("load_extension('x.so')", "--where"),
        ("readfile('/etc/passwd') IS NOT NULL", "no such function: readfile"),
        ("foo(score)", "no such function: foo"),
        ("length(replace(hex(zeroblob(9000000)), '0', prompt)) > 1", "too big"),
        ("prompt LIKE '" + "%a" * 200 + "'", "pattern too complex"),
        ("light = '\ud800'", "no text"),
        ("light = '\0'", "no text"),
        ("1 OR " * 3_000 + "1", "more than 10,000 characters"),
        ("json_extract(light, '$.x') = 1", "malformed JSON"),
    ],
)
async def test_a_wrong_condition_is_told_and_nothing_is_written(
    expression: str, said: str, chosen_from: Path, tmp_path: Path
) -> None:
    """The message names the column or the place; no statement, file or second query gets through."""
    with pytest.raises(InputError, match=said):
        await select(chosen_from, tmp_path, where=expression)
    assert not (tmp_path / "table.jsonl").exists()


async def test_work_on_a_condition_is_bounded(
    chosen_from: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of the database are counted; past the limit it is told that the condition takes too long."""
    monkeypatch.setattr(where, "STEPS_PER_CALL", 1)
    monkeypatch.setattr(where, "MOST_CALLS", 20)
    with pytest.raises(InputError, match="takes too long"):
        await select(chosen_from, tmp_path, where="score > 1")


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [("pick", ["fox-0"]), ("reject", ["owl-0"]), ("none", ["elk-0", "refused-0", "fox-1"])],
)
async def test_a_verdict_selects(verdict: str, expected: list[str], chosen_from: Path, tmp_path: Path) -> None:
    """`none` are the images that nobody has judged."""
    assert await select(chosen_from, tmp_path, verdict=verdict) == expected


async def test_ids_select_rows_jobs_and_files(chosen_from: Path, tmp_path: Path) -> None:
    """A row's id means all of its samples, and all parts of a selection hold together."""
    row = make_job(1)
    (file,) = [str(path) for path in chosen_from.rglob("elk-*.png")]
    assert await select(chosen_from, tmp_path, ids=["fox"]) == ["fox-0", "fox-1"]
    assert await select(chosen_from, tmp_path, ids=[row.job_id, file]) == ["owl-0", "elk-0"]
    assert await select(chosen_from, tmp_path, ids=[row.job_id[:12].upper()]) == ["owl-0"]
    assert await select(chosen_from, tmp_path, ids=["fox", "owl"], where="sample = 0", verdict="pick") == ["fox-0"]


async def test_an_id_of_nobody_is_told(chosen_from: Path, tmp_path: Path) -> None:
    """A list that names what the batch has not would give fewer images than asked for."""
    with pytest.raises(InputError, match=r"2 names of the list .*: 'wolf', 'bear'"):
        await select(chosen_from, tmp_path, ids=["fox", "wolf", "bear"])


async def test_every_form_takes_the_same_selection(chosen_from: Path, tmp_path: Path) -> None:
    """Tables, shards and Parquet hold the selected jobs; images leave out those without one, and say so."""
    output, wanted = OutputFolder(chosen_from), Selection(where="light = 'dawn' AND sample = 0")
    # Two suites need columns that this manifest does not have.
    left_out = {ExportFormat.CARD, ExportFormat.GENEVAL, ExportFormat.HPSV2}
    paths = {form: tmp_path / form.value for form in ExportFormat if form not in left_out}
    done = {form: await export_batch(output, form, path, selection=wanted) for form, path in paths.items()}
    with paths[ExportFormat.CSV].open(encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["fox", "elk", "refused"]
    assert pq.read_table(paths[ExportFormat.PARQUET])["id"].to_pylist() == ["fox", "elk"]
    with tarfile.open(paths[ExportFormat.WEBDATASET] / "shard-000000.tar") as shard:
        assert sum(name.endswith(".png") for name in shard.getnames()) == 2
    counts = {form: (record.rows, record.left_out) for form, record in done.items()}
    assert counts == {
        ExportFormat.CSV: (3, 0),
        ExportFormat.JSONL: (3, 0),
        ExportFormat.PARQUET: (2, 1),
        ExportFormat.WEBDATASET: (2, 1),
        ExportFormat.FILES: (2, 1),
        ExportFormat.T2I_COMPBENCH: (2, 1),
        ExportFormat.DPG: (2, 1),
        ExportFormat.WISE: (2, 1),
        ExportFormat.TIFA: (2, 1),
    }


async def test_no_image_and_a_card_of_some_are_errors(chosen_from: Path, tmp_path: Path) -> None:
    """An export without images looks like one that worked, and a card describes its whole folder."""
    with pytest.raises(InputError, match="no image is selected; 1 job without one"):
        await export_batch(
            OutputFolder(chosen_from), ExportFormat.PARQUET, tmp_path / "x", selection=Selection(ids=["refused"])
        )
    with pytest.raises(InputError, match="whole batch"):
        await export_batch(OutputFolder(chosen_from), ExportFormat.CARD, None, selection=Selection(verdict="pick"))


async def test_few_chosen_images_are_looked_up_and_the_batch_is_not_read_again(out: Path) -> None:
    """An export or reroll of two images of a large batch asks for these two, and has them in manifest order."""
    planned = [make_job(number) for number in range(9)]
    async with open_ledger(out, create=True) as engine:
        await plan_jobs(engine, planned)
        wanted = SelectedJobs(engine, frozenset({planned[7].job_id, planned[2].job_id}))
        with explaining(engine) as asked:
            found = [row["id"] async for page in wanted.read_pages() for row in page]
    assert found == ["row-2", "row-7"]
    [plan] = [each for each in asked if each.statement.startswith("SELECT jobs.")]
    assert "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (job_id=?)" in plan.steps
    assert "SCAN jobs" not in plan.steps
