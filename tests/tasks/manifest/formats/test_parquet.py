from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.core.records import Prompt
from tasks.manifest.formats import parquet_rows
from tasks.manifest.lines import is_visible
from tasks.manifest.reading import build_read_options
from tasks.manifest.rows import is_lack
from tests.tasks.manifest.reading import good, piped, problems, read


def parquet(table: pa.Table, **options: Any) -> bytes:
    """A Parquet file of this table."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def test_numbers_of_any_type_are_read(tmp_path: Path) -> None:
    """A data frame turns whole numbers with gaps into floats; they still are whole numbers."""
    table = pa.table(
        {
            "prompt": ["a", "b"],
            "seed": pa.array([2**63 - 1, None], pa.int64()),
            "width": pa.array([512.0, float("nan")], pa.float64()),
            "steps": pa.array([4, 5], pa.uint8()),
            "guidance": pa.array([2.5, None], pa.float32()),
        }
    )
    first, second = good(tmp_path, "m.parquet", parquet(table))
    assert (first.seed, first.width, first.steps, first.backend_opts) == (2**63 - 1, 512, 4, {"guidance": 2.5})
    assert (second.seed, second.width, second.steps, second.backend_opts) == (None, None, 5, {})


def test_every_type_is_carried_in_the_other_columns(tmp_path: Path) -> None:
    """Lists, structs, times and dictionaries come through; a missing number is none."""
    when = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    table = pa.table(
        {
            "prompt": pa.array(["a"]).dictionary_encode(),
            "tags": pa.array([[["x"], []]]),
            "source": pa.array([{"name": "n", "page": 3}]),
            "when": pa.array([when], pa.timestamp("us", "UTC")),
            "score": pa.array([float("nan")]),
            "nothing": pa.nulls(1),
        }
    )
    [row] = good(tmp_path, "m.parquet", parquet(table))
    assert row.extra == {
        "tags": [["x"], []],
        "source": {"name": "n", "page": 3},
        "when": when,
        "score": None,
        "nothing": None,
    }


def test_options_may_be_a_struct_or_json(tmp_path: Path) -> None:
    """Both ways in which a table can hold named options are read."""
    for options in ([{"go_fast": True}], ['{"go_fast": true}']):
        [row] = good(tmp_path, "m.parquet", parquet(pa.table({"prompt": ["a"], "backend_opts": options})))
        assert row.backend_opts == {"go_fast": True}


def test_a_bad_row_is_numbered_through_all_row_groups(tmp_path: Path) -> None:
    """The line of a Parquet row is its number, from 1."""
    table = pa.table({"prompt": [f"p{number}" for number in range(2_500)], "width": [64] * 2_345 + [5] + [64] * 154})
    items = read(tmp_path, "m.parquet", parquet(table, row_group_size=700))
    assert [item.line for item in items] == list(range(1, 2_501))
    assert [item.line for item in items if not isinstance(item, Prompt)] == [2_346]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"title": ["a"], "seed": [1]}), "no column holds the prompts; found: title, seed"),
        (pa.table({}), "no column holds the prompts"),
        (pa.table([["a"], ["b"]], names=["prompt", "prompt"]), "appears twice"),
        (pa.table({"prompt": ["a"], "at": pa.array([10**8], pa.date32())}), "date value out of range"),
        (pa.table({"prompt": ["a"], "at": pa.array([1], pa.timestamp("us", tz="Mars/Base"))}), "Mars/Base"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_problem(tmp_path: Path, table: pa.Table, message: str) -> None:
    """Not one for each of a million rows, and no traceback for a date that Python does not know."""
    [(line, _, text)] = problems(tmp_path, "m.parquet", parquet(table))
    assert line is None
    assert message in text


@pytest.mark.parametrize("column", ["prompt", "note"])
def test_a_cell_that_is_not_utf_8_is_placed(tmp_path: Path, column: str) -> None:
    """Its row, column and byte are told: nothing else of the table is damaged."""
    cells = pa.array(["a", "b", "cafX"], pa.string())
    offsets = cells.buffers()[1]
    assert offsets is not None
    damaged = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"abcaf\xe9"))
    table = pa.table({"prompt": pa.array(["a", "b", "c"]), "note": pa.array(["a", "b", "c"])})
    table = table.set_column(table.schema.get_field_index(column), column, damaged)
    assert problems(tmp_path, "m.parquet", parquet(table)) == [
        (3, column, "is not UTF-8 (byte 0xe9 in column 4); write the column as UTF-8 text")
    ]


def test_a_damaged_file_is_one_problem(tmp_path: Path) -> None:
    """A download that broke off says so."""
    whole = parquet(pa.table({"prompt": [f"p{number}" for number in range(100)]}))
    [(_, _, message)] = problems(tmp_path, "m.parquet", whole[: len(whole) // 2])
    assert "is not readable Parquet" in message


def test_damaged_pages_are_a_problem(tmp_path: Path) -> None:
    """Damage in the middle is found when the rows are read, and ends the reading."""
    whole = bytearray(parquet(pa.table({"prompt": [f"{number:020}" for number in range(5_000)]}), compression="zstd"))
    whole[1_000:3_000] = bytes(2_000)
    [(_, _, message)] = problems(tmp_path, "m.parquet", bytes(whole))
    assert "is not readable Parquet" in message


def test_parquet_on_standard_input_is_known() -> None:
    """A pipe can carry Parquet, too."""
    kind, items = piped(parquet(pa.table({"caption": ["a cat"]})))
    assert kind == "parquet"
    assert [item.prompt for item in items if isinstance(item, Prompt)] == ["a cat"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300).filter(
            lambda text: is_visible(text) and not is_lack(text)
        ),
        max_size=5,
    )
)
def test_any_prompt_survives(tmp_path: Path, texts: list[str]) -> None:
    """The record holds exactly the user's text."""
    table = pa.table({"prompt": pa.array(texts, pa.large_string())})
    assert [row.prompt for row in good(tmp_path, "m.parquet", parquet(table))] == texts


def test_large_categories_are_refused_and_small_ones_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictionary is held whole, so its size is bounded; plain text of any size and a column left out are not held."""
    texts = [f"a hare {number} {'grass ' * 40}" for number in range(2_000)]
    table = pa.table({"prompt": texts, "mood": pa.array(texts).dictionary_encode(), "kind": ["x"] * len(texts)})
    path = tmp_path / "m.parquet"
    pq.write_table(table, path)
    assert len(good(tmp_path, "m.parquet", path.read_bytes())) == 2_000
    monkeypatch.setattr(parquet_rows, "MOST_CATEGORY_BYTES", 64 * 1024)
    [(_, column, message)] = problems(tmp_path, "m.parquet", path.read_bytes())
    assert (column, "astype(str)" in message) == ("mood", True)
    ignored = build_read_options({}, ignore="mood")
    assert len(good(tmp_path, "m.parquet", path.read_bytes(), ignored)) == 2_000
