"""Manifests and configurations that nobody would write: every one is planned or refused, and none is an internal error.

The soak runs 10,000 manifests and 5,000 configurations; `IMAGEN_FUZZ_MANIFESTS`, `IMAGEN_FUZZ_CONFIGURATIONS` and
`IMAGEN_FUZZ_SEED` change the numbers and the examples. 100,000 manifests take an hour.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.errors import ImagenError
from tasks.core.safe_text import escape_lines
from tasks.manifest import open_manifest
from tasks.manifest.names import NAMES, SETTINGS
from tasks.manifest.reading import build_read_options
from tasks.plan.check import check_manifest
from tasks.plan.planner import PlanOptions
from tests.support.memory import MemoryGrowth
from tests.tasks.manifest.test_foreign_files import build_spreadsheet

SEED = int(os.environ.get("IMAGEN_FUZZ_SEED", "20261124"))
MANIFESTS = int(os.environ.get("IMAGEN_FUZZ_MANIFESTS", "10000"))
CONFIGURATIONS = int(os.environ.get("IMAGEN_FUZZ_CONFIGURATIONS", "5000"))
QUICK = 60
MOST_GROWTH_BYTES = 1_000_000_000

COLUMN_NAMES = sorted({alias for names in NAMES.values() for alias in names} | SETTINGS)
WORDS = [
    *(
        "",
        " ",
        "NaN",
        "null",
        "1,024",
        "768px",
        "1e3",
        "-0",
        "0010",
        "1:30",
        "16:9",
        "1024x768",
        "auto",
        "true",
        "../x",
    ),
    *(
        "\x1b[2J",
        "\u202e",
        "\u200b",
        "\x00",
        "\ud83d",
        "=1+1",
        "'",
        '"',
        "{",
        "}",
        "[",
        "#",
        " # x",
        ": ",
        "- ",
        "--seed 5",
    ),
    *(
        "&a [*a, *a]",
        "*a",
        "!!bool x",
        "!!int ''",
        "!!python/object:x y",
        "? x",
        "<<: *a",
        "{a: [",
        "9" * 400,
        "Steps: 20, Seed: 1",
    ),
]
TEXTS = st.sampled_from(WORDS) | st.text(max_size=12) | st.text(st.characters(exclude_categories=[]), max_size=6)
NUMBERS = st.integers(-(10**25), 10**25) | st.floats() | st.booleans() | st.sampled_from([0, 1, 16, 64, 512, 10**400])
LEAVES = st.none() | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
FIELD_NAMES = (
    st.sampled_from(COLUMN_NAMES)
    | TEXTS
    | st.sampled_from(["Prompt", "Num Images", "body", "input", "messages", "columns"])
)
ROWS = st.lists(
    st.dictionaries(FIELD_NAMES, VALUES, max_size=5).flatmap(
        lambda row: st.sampled_from(
            [row, {"prompt": "a fox", **row}, {"prompt": "a fox", "width": 64, "samples": 2, **row}]
        )
    ),
    max_size=4,
)


def write_json(rows: list[dict[str, Any]]) -> bytes:
    """A JSON list."""
    return json.dumps(rows, indent=1).encode()


def write_object(rows: list[dict[str, Any]]) -> bytes:
    """An object with defaults, columns and rows, or whatever stands there."""
    first, *others = rows or [{}]
    return json.dumps({"defaults": first, "prompts": others, "columns": {"a": "option"}, **first}).encode()


def write_lines(rows: list[dict[str, Any]]) -> bytes:
    """JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_table(rows: list[dict[str, Any]], separator: str) -> bytes:
    """A table without any quoting."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [separator.join(names), *(separator.join(str(row.get(name, "")) for name in names) for row in rows)]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def write_yaml(rows: list[dict[str, Any]]) -> bytes:
    """YAML as text, so that tags, anchors and comments in the texts are YAML's own."""
    lines = []
    for row in rows:
        lines += [f"{'-' if at == 0 else ' '} {name}: {value}" for at, (name, value) in enumerate(row.items())]
    return "\n".join(["defaults: {steps: 4}", "prompts:", *lines]).encode("utf-8", "surrogatepass")


def write_template(rows: list[dict[str, Any]]) -> bytes:
    """A template with a matrix of the same values."""
    row = rows[0] if rows else {}
    try:
        return yaml.safe_dump(
            {"template": row, "matrix": {name: list(row.values()) for name in row}}, allow_unicode=True
        ).encode()
    except (yaml.YAMLError, UnicodeError, ValueError):
        return b"template: {prompt: '{x}'}\nmatrix: {x: [1]}\n"


def write_text(rows: list[dict[str, Any]]) -> bytes:
    """Lines of plain text."""
    return "\n".join(f"{name} {value}" for row in rows for name, value in row.items()).encode("utf-8", "surrogatepass")


def write_parquet(rows: list[dict[str, Any]]) -> bytes:
    """A Parquet table, of texts where the values have no type in common."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name]
    file = io.BytesIO()
    try:
        table = pa.table({name: [row.get(name) for row in rows] for name in names})
        pq.write_table(table, file)
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
        pq.write_table(pa.table({"prompt": [repr(row).encode() for row in rows]}), file := io.BytesIO())
    return file.getvalue()


def write_spreadsheet(rows: list[dict[str, Any]]) -> bytes:
    """A spreadsheet of texts that XML may hold."""
    cells = [[repr(value).replace("&", "").replace("<", "")[:30] for value in row.values()] for row in rows]
    return build_spreadsheet({"S": [["prompt", "width", "seed"], *[line[:9] for line in cells]]})


WRITERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "m.json": write_json,
    "o.json": write_object,
    "m.jsonl": write_lines,
    "m.csv": lambda rows: write_table(rows, ","),
    "s.csv": lambda rows: write_table(rows, ";"),
    "m.tsv": lambda rows: write_table(rows, "\t"),
    "m.yaml": write_yaml,
    "t.yaml": write_template,
    "m.txt": write_text,
    "m.parquet": write_parquet,
    "m.xlsx": write_spreadsheet,
}
ENCODINGS = ["utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig"]
DAMAGE = st.tuples(
    st.sampled_from(["none", "cut", "flip", "insert", "gzip", "encode", "repeat"]),
    st.integers(0, 2**20),
    st.binary(max_size=4),
)


def damage(content: bytes, how: tuple[str, int, bytes]) -> bytes:
    """The content with one thing done to it."""
    kind, number, extra = how
    at = number % (len(content) + 1)
    changed: dict[str, Callable[[], bytes]] = {
        "none": lambda: content,
        "cut": lambda: content[:at],
        "flip": lambda: content[:at] + extra + content[at + len(extra) :],
        "insert": lambda: content[:at] + extra + content[at:],
        "gzip": lambda: gzip.compress(content, mtime=0)[: at + 40],
        "encode": lambda: content.decode("utf-8", "replace").encode(ENCODINGS[number % len(ENCODINGS)], "replace"),
        "repeat": lambda: content * (number % 4),
    }
    return changed[kind]()


def expect_clear(error: ImagenError) -> None:
    """A refusal is one of input, in words that can be printed."""
    assert error.exit_code == 2
    assert all(line.isprintable() for line in escape_lines(str(error)).split("\n"))


def plan(folder: Path, name: str, content: bytes) -> None:
    """Plan a manifest; what is refused is refused in words that can be printed."""
    path = folder / name
    path.write_bytes(content)
    options = build_read_options({}, literal=len(content) % 7 == 0, ignore="quality" if len(content) % 5 == 0 else None)
    try:
        with open_manifest(str(path), options=options) as manifest:
            report = check_manifest(manifest, Settings(), PlanOptions())
    except ImagenError as exc:
        expect_clear(exc)
        return
    assert report.jobs >= report.rows > 0
    assert report.estimate_micros == 0
    json.dumps(dict(report.columns)).encode()


def configure(folder: Path, content: bytes) -> None:
    """Read a configuration; the same."""
    path = folder / "imagen.yaml"
    path.write_bytes(content)
    try:
        load_settings(path)
    except ImagenError as exc:
        expect_clear(exc)


def fuzz(examples: int) -> settings:
    """Hypothesis's settings: seeded, so many examples, no limit on the time of one."""
    checks = [
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ]
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=checks)


CASES = st.tuples(st.sampled_from(sorted(WRITERS)), ROWS, DAMAGE)
CONFIGURATION_KEYS = (
    st.sampled_from([*Settings.model_fields, "backends", "sketch", "type", "concurrency", "price_usd", "image"]) | TEXTS
)


def write_configuration(value: Any) -> bytes:
    """YAML of a value, its texts not quoted."""
    return _spell(value, 0).encode("utf-8", "surrogatepass")


def _spell(value: Any, level: int) -> str:
    if isinstance(value, dict) and value:
        return "\n" * (level > 0) + "\n".join(
            f"{'  ' * level}{key}: {_spell(part, level + 1)}" for key, part in value.items()
        )
    if isinstance(value, list):
        return "[" + ", ".join(_spell(part, 9) for part in value) + "]"
    return str(value)


CONFIGURED = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CONFIGURATION_KEYS, inner, max_size=4),
    max_leaves=8,
)


@fuzz(QUICK)
@given(case=CASES)
@seed(SEED)
def test_no_manifest_is_an_internal_error(
    tmp_path: Path, case: tuple[str, list[dict[str, Any]], tuple[str, int, bytes]]
) -> None:
    """Whatever stands in a file, it is planned or refused."""
    name, rows, how = case
    plan(tmp_path, name, damage(WRITERS[name](rows), how))


@fuzz(QUICK)
@given(value=st.dictionaries(CONFIGURATION_KEYS, CONFIGURED, max_size=4), how=DAMAGE)
@seed(SEED)
def test_no_configuration_is_an_internal_error(
    tmp_path: Path, value: dict[str, Any], how: tuple[str, int, bytes]
) -> None:
    """Whatever stands in a configuration, it is read or refused."""
    configure(tmp_path, damage(write_configuration(value), how))


@pytest.mark.soak
def test_many_manifests(tmp_path: Path, memory_growth: MemoryGrowth) -> None:
    """Ten thousand of them, in less than a gigabyte."""

    @fuzz(MANIFESTS)
    @given(case=CASES)
    @seed(SEED + 1)
    def plan_each(case: tuple[str, list[dict[str, Any]], tuple[str, int, bytes]]) -> None:
        name, rows, how = case
        plan(tmp_path, name, damage(WRITERS[name](rows), how))

    plan_each()
    # Once and at the end: the peak of one example stands in the figure of all that follow, which no example explains.
    assert memory_growth.bytes < MOST_GROWTH_BYTES


@pytest.mark.soak
@fuzz(CONFIGURATIONS)
@given(value=st.dictionaries(CONFIGURATION_KEYS, CONFIGURED, max_size=4), how=DAMAGE)
@seed(SEED + 1)
def test_many_configurations(tmp_path: Path, value: dict[str, Any], how: tuple[str, int, bytes]) -> None:
    """Thousands of them, read or refused."""
    configure(tmp_path, damage(write_configuration(value), how))
