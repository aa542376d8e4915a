"""`metadata.parquet`, opened by the programs that people open it with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tasks.core.errors import Refused
from tasks.core.identity import hash_prompt
from tasks.generate.jobs import generate_range
from tasks.ledger import scores
from tasks.ledger.queries import PAGE_ROWS
from tasks.metadata.arrow_table import SCHEMA
from tasks.metadata.columns import COLUMNS
from tasks.metadata.write import write_metadata
from tests.support.factories import START_US, FakeClock, make_job, open_batch_with
from tests.support.readers import load_dataset
from tests.support.scripted_backend import ScriptedBackend

PROMPT = '  "G I G G L E" painted,\nin ünïcode 🦊\t'


@pytest.fixture
async def written(out: Path) -> Path:
    """A batch of three: one with dirty text, one refused, one plain."""
    jobs = [
        make_job(0, prompt=PROMPT, extra={"Category": "Abstract", "image": "a user's column"}, negative_prompt="blur"),
        make_job(1, id=None, backend_opts={"guidance": 3.5}),
        make_job(2),
    ]
    backend = ScriptedBackend()
    backend.on_wait[""] = deque([Refused("flagged")])
    async with open_batch_with(out, jobs, clock=FakeClock().clock) as batch:
        batch._backends["sketch"] = backend
        await generate_range(batch, 0, 10)
        assert await write_metadata(batch.engine, batch.out) == 3
    return out


def test_the_table_has_exactly_the_documented_columns(written: Path) -> None:
    """Names, order, types and a description in every field."""
    schema = pq.read_schema(written / "metadata.parquet")
    assert schema.names == [column.name for column in COLUMNS]
    assert schema.remove_metadata() == SCHEMA.remove_metadata()
    assert all((field.metadata or {}).get(b"description") for field in schema)
    assert "image" not in schema.names


async def test_scores_are_read_only_where_there_are_any(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each night writes the rows of all nights before: an image without a score costs no call of the JSON parser."""
    monkeypatch.delattr(scores, "parse_results")
    async with open_batch_with(out, [make_job(0), make_job(1)]) as batch:
        await generate_range(batch, 0, 10)
        assert await write_metadata(batch.engine, batch.out) == 2


def test_every_job_is_a_row_in_manifest_order(written: Path) -> None:
    """Failed ones too, with a null file name and the reason."""
    rows = pq.read_table(written / "metadata.parquet").to_pylist()
    assert [row["line"] for row in rows] == [1, 2, 3]
    assert [row["status"] for row in rows] == ["succeeded", "failed", "succeeded"]
    refused: dict[str, Any] = rows[1]
    assert (refused["file_name"], refused["error_kind"], refused["error_message"]) == (None, "moderation", "flagged")
    assert json.loads(refused["backend_opts"]) == {"guidance": 3.5}


def test_the_prompt_is_kept_to_the_letter(written: Path) -> None:
    """Quotes, edge spaces and newlines of the manifest stand in the table, and its hash is the usage table's."""
    row = pq.read_table(written / "metadata.parquet").to_pylist()[0]
    assert row["prompt"] == PROMPT
    assert row["prompt_hash"] == hash_prompt(PROMPT)
    assert json.loads(row["extra"])["Category"] == "Abstract"


def test_sizes_come_from_the_bytes_and_instants_are_utc(written: Path) -> None:
    """What was asked for stands beside what was made."""
    row = pq.read_table(written / "metadata.parquet").to_pylist()[0]
    assert (row["width"], row["height"], row["format"]) == (32, 32, "png")
    assert row["bytes"] == (written / row["file_name"]).stat().st_size
    assert row["completed_at"].tzinfo is not None
    assert row["completed_at"].timestamp() == pytest.approx(START_US / 1e6)
    assert row["cost_usd"] == 0.003


def test_datasets_opens_the_folder_as_it_is(written: Path, tmp_path: Path) -> None:
    """`load_dataset("imagefolder")` pairs every image with its row, and a failed row with none."""
    loaded = load_dataset("imagefolder", data_dir=str(written), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 3
    assert [row["image"] and row["image"].size for row in loaded] == [(32, 32), None, (32, 32)]
    assert loaded["prompt"][0] == PROMPT


def test_duckdb_opens_the_table_as_it_is(written: Path) -> None:
    """A query over the file needs nothing but its name."""
    query = f"SELECT status, count(*), sum(cost_usd) FROM '{written}/metadata.parquet' GROUP BY 1 ORDER BY 1"
    with duckdb.connect() as db:
        assert db.execute(query).fetchall() == [("failed", 1, 0.0), ("succeeded", 2, 0.006)]


async def test_the_table_of_a_long_batch_is_written_in_row_groups(out: Path) -> None:
    """Memory does not grow with the batch: a page of the ledger is a row group."""
    async with open_batch_with(out, [make_job(number) for number in range(PAGE_ROWS + 5)]) as batch:
        assert await write_metadata(batch.engine, batch.out) == PAGE_ROWS + 5
    assert pq.ParquetFile(out / "metadata.parquet").num_row_groups == 2


def test_whoever_asks_for_a_data_frame_gets_one(written: Path) -> None:
    """Our own conversions pass pandas over, and leave it to others of the process."""
    code = (
        "import sys; from tasks.metadata import arrow_table; assert 'pandas' not in sys.modules;"
        "import pyarrow.parquet as pq; print(len(pq.read_table(sys.argv[1]).to_pandas()))"
    )
    command = [sys.executable, "-c", code, str(written / "metadata.parquet")]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"
