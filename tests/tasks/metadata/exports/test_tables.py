"""CSV, JSONL and the Parquet file with images inside, opened by DuckDB, `datasets` and Python's own readers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InputError, OutputError
from tasks.metadata.columns import COLUMNS, hide_folder
from tasks.metadata.exports import embedded_parquet
from tasks.metadata.exports.card import build_batch_card
from tasks.metadata.exports.export import STDOUT, export_batch
from tasks.metadata.exports.survey import Survey
from tasks.metadata.exports.tables import disarm_formula
from tasks.metadata.exports.targets import ExportFormat
from tasks.store.output.folder import OutputFolder
from tests.support.readers import load_dataset
from tests.tasks.metadata.exports.conftest import DIRTY

NAMES = [column.name for column in COLUMNS]


def read_column(path: Path, name: str) -> list[Any]:
    """A column as DuckDB reads it, in the order of the file."""
    return [row[0] for row in duckdb.execute(f"SELECT {name} FROM '{path}' ORDER BY line").fetchall()]


@pytest.mark.parametrize("raw", [True, False])
async def test_csv_comes_back_as_it_was(raw: bool, finished: Path, tmp_path: Path) -> None:  # noqa: FBT001  a case
    """Quotes, commas, newlines and lone carriage returns of prompts survive, for Python's reader and for DuckDB.

    Only what a spreadsheet would run as a formula gets an apostrophe in front, unless cells are asked for raw.
    """
    path = tmp_path / "table.csv"
    await export_batch(OutputFolder(finished), ExportFormat.CSV, path, raw_cells=raw)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = DIRTY if raw else [f"'{text}" if text.startswith("=") else text for text in DIRTY]
    assert list(rows[0]) == NAMES
    assert [row["prompt"] for row in rows[: len(DIRTY)]] == expected
    assert [row["status"] for row in rows].count("failed") == 1
    assert read_column(path, "prompt")[: len(DIRTY)] == expected


@given(text=st.text(), start=st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20"]))
def test_no_cell_is_a_formula(text: str, start: str) -> None:
    """Whatever begins as a formula does not any more; everything else, numbers too, is left alone."""
    assert disarm_formula(start + text) == f"'{start}{text}"
    assert disarm_formula(f"a{text}") == f"a{text}"
    assert disarm_formula(-1) == -1


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("/home/ann/secret project/start.png", "start.png"),
        ("C:\\Users\\ann\\start.png", "start.png"),
        ("https://example.org/a/start.png", "https://example.org/a/start.png"),
        (None, None),
    ],
)
def test_folders_of_this_machine_stay_here(reference: str | None, shown: str | None) -> None:
    """A table names an image that a row starts from by its file, not by the way to it."""
    assert hide_folder(reference) == shown


async def test_jsonl_comes_back_as_it_was(finished: Path, tmp_path: Path) -> None:
    """One object a line whatever a prompt holds; types and nulls are the table's."""
    path = tmp_path / "table.jsonl"
    await export_batch(OutputFolder(finished), ExportFormat.JSONL, path)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [list(row) for row in rows] == [NAMES] * (len(DIRTY) + 2)
    assert [row["prompt"] for row in rows[: len(DIRTY)]] == DIRTY
    assert (rows[-2]["file_name"], rows[-2]["error_kind"], rows[-1]["steps"]) == (None, "moderation", 4)
    assert rows[0]["created_at"].endswith("+00:00")
    assert read_column(path, "prompt")[: len(DIRTY)] == DIRTY
    loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["prompt"][: len(DIRTY)] == DIRTY


async def test_datasets_shows_images_out_of_one_parquet_file(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema says that `image` is an image; row groups are cut by bytes and keep the order."""
    monkeypatch.setattr(embedded_parquet, "ROW_GROUP_BYTES", 1_000)
    path = tmp_path / "images.parquet"
    await export_batch(OutputFolder(finished), ExportFormat.PARQUET, path)
    rows = load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert type(rows.features["image"]).__name__ == "Image"
    assert [row["image"].size for row in rows] == [(32, 32)] * (len(DIRTY) + 1)
    assert rows["prompt"][: len(DIRTY)] == DIRTY
    assert rows["image"][0].filename == ""
    groups = pq.ParquetFile(path)
    assert groups.num_row_groups > 1
    encodings = {
        groups.metadata.row_group(0).column(0).path_in_schema: groups.metadata.row_group(0).column(0).encodings
    }
    assert not any("DICTIONARY" in name for name in encodings["image.bytes"])


async def test_the_bytes_inside_are_the_files(finished: Path, tmp_path: Path) -> None:
    """DuckDB finds the very file in the column."""
    path = tmp_path / "images.parquet"
    await export_batch(OutputFolder(finished), ExportFormat.PARQUET, path)
    rows = duckdb.execute(f"SELECT file_name, image.bytes, sha256, sha256(image.bytes) FROM '{path}'").fetchall()
    assert len(rows) == len(DIRTY) + 1
    for name, data, noted, actual in rows:
        assert (finished / name).read_bytes() == data
        assert noted == actual


async def test_the_card_makes_the_folder_load(finished: Path, tmp_path: Path) -> None:
    """`load_dataset(DIR)` gives images with their columns, other files beside them or not."""
    for name in ("index.html", "summary.json", "notes.csv"):
        (finished / name).write_text("{}")
    await export_batch(OutputFolder(finished), ExportFormat.CARD, None)
    rows = load_dataset(str(finished), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["prompt"][: len(DIRTY)] == DIRTY
    assert [row["image"] is None for row in rows].count(True) == 1
    assert rows[0]["image"].size == (32, 32)


@pytest.mark.parametrize("form", [ExportFormat.CSV, ExportFormat.JSONL, ExportFormat.PARQUET])
async def test_a_file_is_replaced_only_when_asked(finished: Path, tmp_path: Path, form: ExportFormat) -> None:
    """The error says how, and the file is as it was."""
    path = tmp_path / "mine"
    path.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        await export_batch(OutputFolder(finished), form, path)
    assert path.read_text() == "mine"
    await export_batch(OutputFolder(finished), form, path, overwrite=True)
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
async def test_a_second_metadata_file_is_refused(finished: Path, name: str) -> None:
    """It would keep the `datasets` library from opening the folder; the batch's own is never replaced."""
    with pytest.raises(OutputError, match=r"one metadata\.\* only"):
        await export_batch(OutputFolder(finished), ExportFormat.CSV, finished / name, overwrite=True)


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-journal", "summary.json", "images/00/new.png", "link.csv"])
async def test_a_table_never_replaces_what_a_batch_is_of(finished: Path, name: str) -> None:
    """Not with --overwrite and not through a link: the ledger is the only record of what was paid."""
    (finished / "link.csv").symlink_to(finished / "ledger.db")
    before = (finished / "ledger.db").read_bytes()
    with pytest.raises(OutputError, match="folder of a batch"):
        await export_batch(OutputFolder(finished), ExportFormat.CSV, finished / name, overwrite=True)
    assert (finished / "ledger.db").read_bytes() == before
    await export_batch(OutputFolder(finished), ExportFormat.CSV, finished / "mine.csv")


@pytest.mark.parametrize("form", [ExportFormat.CSV, ExportFormat.WEBDATASET])
async def test_a_target_that_no_disk_takes_is_one_error(finished: Path, tmp_path: Path, form: ExportFormat) -> None:
    """Where looking at it fails already."""
    with pytest.raises(OutputError, match="cannot be written"):
        await export_batch(OutputFolder(finished), form, tmp_path / ("x" * 300))


async def test_what_cannot_be_exported_is_said_at_once(finished: Path, tmp_path: Path) -> None:
    """No target, a form that is no text on standard output, a folder that is no batch."""
    with pytest.raises(InputError, match="--to"):
        await export_batch(OutputFolder(finished), ExportFormat.PARQUET, None)
    with pytest.raises(InputError, match="standard output"):
        await export_batch(OutputFolder(finished), ExportFormat.WEBDATASET, STDOUT)
    with pytest.raises(InputError, match="not the output folder"):
        await export_batch(OutputFolder(tmp_path), ExportFormat.CSV, tmp_path / "x.csv")


@pytest.mark.parametrize(
    "name", ["![x](http://evil.example/p.png)", "a|b", "<img src=x>", "\x1b]0;title\x07", "\u202egnp"]
)
def test_a_card_holds_no_markup_of_others(name: str) -> None:
    """Names of folders and models come from others: a card shows them, and loads or hides nothing for them."""
    card = build_batch_card(name, Survey(images=1, without_image=0, models={name: 1}, extensions=["png"]))
    text = card.split("---\n", 2)[2]
    assert name not in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
