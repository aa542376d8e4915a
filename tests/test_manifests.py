from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tasks.core.configuration.settings import Settings
from tasks.core.errors import ManifestError
from tasks.core.records import Problem, Prompt
from tasks.manifest import Findings, ReadOptions, open_manifest, read_prompts
from tasks.manifest.columns import ColumnSorter, RawRow
from tasks.manifest.row_model import ManifestRow
from tasks.manifest.rows import parse_row
from tasks.plan.check import check_manifest
from tasks.plan.planner import PlanOptions

MANIFESTS = Path(__file__).parents[1] / "manifests"
SCHEMA = MANIFESTS / "manifest.schema.json"


def _read_prompts(name: str) -> list[Prompt]:
    with open_manifest(str(MANIFESTS / name)) as manifest:
        rows = list(read_prompts(manifest))
    assert [row for row in rows if isinstance(row, Problem)] == []
    return [row for row in rows if isinstance(row, Prompt)]


def _validator() -> Any:
    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _written_rows() -> Iterator[dict[str, Any]]:
    """Every row that the shipped manifests write out, templates aside."""
    demo = yaml.safe_load((MANIFESTS / "demo.yaml").read_text(encoding="utf-8"))
    yield from ({"prompt": row} if isinstance(row, str) else row for row in demo["prompts"])
    yield {"prompt": "of the defaults", **demo["defaults"]}
    with (MANIFESTS / "catalogue.jsonl").open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def test_the_schema_is_the_one_of_the_model() -> None:
    """The schema that editors use says what the program accepts today."""
    generated = json.dumps(ManifestRow.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == generated


def test_the_schema_is_a_schema_and_describes_every_column() -> None:
    """An editor shows a sentence for each column."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert [
        name for name, column in schema["properties"].items() if not column.get("description", "").endswith(".")
    ] == []


def test_every_shipped_row_fits_the_schema() -> None:
    """What ships is an example of what the schema allows."""
    check = _validator()
    assert [error.message for row in _written_rows() for error in check.iter_errors(row)] == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("prompt", "a cat\n"),
        ("prompt", "   "),
        ("prompt", "x" * 32_768),
        ("prompt", "x" * 32_769),
        ("prompt", 5),
        ("id", "fox-ink-dawn"),
        ("id", "狐 1"),
        ("id", 7),
        ("id", ".."),
        ("id", " . "),
        ("id", "a/b"),
        ("id", "a\\b"),
        ("id", "a\x1fb"),
        ("id", "x" * 201),
        ("width", 16),
        ("width", 15),
        ("width", 512.0),
        ("width", 512.5),
        ("height", 16_385),
        ("height", True),
        ("aspect_ratio", "16:9"),
        ("aspect_ratio", "100:1"),
        ("aspect_ratio", "101:1"),
        ("aspect_ratio", "0:1"),
        ("aspect_ratio", "16-9"),
        ("aspect_ratio", 969),
        ("steps", 0),
        ("steps", None),
        ("seed", 2**63 - 1),
        ("seed", 2**63),
        ("samples", 1001),
        ("format", "jpg"),
        ("format", "webp"),
        ("format", "gif"),
        ("guidance", 3.5),
        ("guidance", True),
        ("backend_opts", {"go_fast": True}),
        ("backend_opts", [1]),
        ("campaign", {"any": ["thing"]}),
    ],
)
def test_the_schema_and_the_program_agree(column: str, value: Any) -> None:
    """An editor accepts a value exactly when the program does."""
    row = {"prompt": "a cat", column: value}
    accepted = not any(
        isinstance(item, Problem)
        for item in parse_row(RawRow(1, row), "rows.jsonl", ColumnSorter(ReadOptions(), Findings()))
    )
    assert _validator().is_valid(row) is accepted


@pytest.mark.parametrize("ratio", ["16/9", "16x9", "16 : 9"])
def test_an_editor_asks_for_the_usual_spelling(ratio: str) -> None:
    """The program reads how other tools write a ratio; the schema knows `16:9` alone."""
    row = {"prompt": "a cat", "aspect_ratio": ratio}
    items = list(parse_row(RawRow(1, row), "rows.jsonl", ColumnSorter(ReadOptions(), Findings())))
    assert not any(isinstance(item, Problem) for item in items)
    assert not _validator().is_valid(row)


@pytest.mark.parametrize("name", ["demo.yaml", "catalogue.yaml", "catalogue.jsonl"])
def test_a_shipped_manifest_plans_without_a_problem(name: str) -> None:
    """A new user's first command works, costs nothing, and no row is there twice."""
    with open_manifest(str(MANIFESTS / name)) as manifest:
        try:
            report = check_manifest(manifest, Settings(), PlanOptions())
        except ManifestError as exc:
            pytest.fail(str(exc))
    assert (report.estimate_micros, report.unpriced, report.duplicates) == (0, 0, 0)


def test_the_demo_is_a_glance() -> None:
    """The first run is over in seconds: two dozen pictures at most."""
    assert 20 <= sum(prompt.samples for prompt in _read_prompts("demo.yaml")) <= 24


def test_the_catalogue_expands_to_its_jsonl() -> None:
    """The grammar and its expansion are one catalogue, so either can be measured."""
    expanded = [
        {"id": prompt.id, "prompt": prompt.prompt, "aspect_ratio": prompt.aspect_ratio, **prompt.extra}
        for prompt in _read_prompts("catalogue.yaml")
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in expanded)
    assert (MANIFESTS / "catalogue.jsonl").read_text(encoding="utf-8") == lines


def test_the_catalogue_holds_thousands_of_different_prompts() -> None:
    """Ids and prompts are unique, or the batch would be smaller than it says."""
    prompts = _read_prompts("catalogue.jsonl")
    assert 3000 <= len(prompts) <= 5000
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    assert len({prompt.prompt for prompt in prompts}) == len(prompts)
