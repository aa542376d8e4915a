"""Columns that the user names and that no row has: refused or told, and never passed over in silence."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import InputError, ManifestError
from tasks.manifest import Findings, open_manifest
from tasks.manifest.reading import ReadOptions, build_read_options
from tasks.plan.check import PlanReport, check_manifest
from tasks.plan.planner import PlanOptions
from tests.tasks.manifest.reading import good, problems

SETTINGS = Settings(default_backend="sketch", backends={"sketch": BackendSettings(type="sketch")})
ROW = {"prompt": "a fox", "caption": "a hare"}


def parquet() -> bytes:
    """A table of one row."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: [cell] for name, cell in ROW.items()}), buffer)
    return buffer.getvalue()


FILES: list[tuple[str, str | bytes]] = [
    ("m.csv", "prompt,caption\na fox,a hare\n"),
    ("semicolon.csv", "prompt;caption\na fox;a hare\n"),
    ("title.csv", "Foxes,\nprompt,caption\na fox,a hare\n"),
    ("m.tsv", "prompt\tcaption\na fox\ta hare\n"),
    ("m.parquet", parquet()),
    ("m.jsonl", json.dumps(ROW) + '\n{"prompt": "a cat"}\n'),
    ("m.json", json.dumps({"prompts": [ROW, "a cat"]})),
    ("lists.json", json.dumps([list(ROW), list(ROW.values())])),
    ("m.yaml", "- {prompt: a fox, caption: a hare}\n"),
]


def plan(path: Path, options: ReadOptions, limit: int | None = None) -> PlanReport:
    """The plan of a manifest."""
    with open_manifest(str(path), options=options) as manifest:
        return check_manifest(manifest, SETTINGS, PlanOptions(limit=limit))


@pytest.mark.parametrize(("name", "content"), FILES, ids=[name for name, _ in FILES])
def test_a_misspelt_column_of_prompts_is_one_problem(tmp_path: Path, name: str, content: str | bytes) -> None:
    """Another column called prompt is not planned in its place; the message has the columns and the likely one."""
    [(_, _, message)] = problems(tmp_path, name, content, build_read_options({}, prompt_column="captoin"))
    assert "--prompt-column: no column is called 'captoin'; did you mean 'caption'?" in message
    assert "Found: prompt, caption" in message


def test_a_row_without_the_named_column_is_a_problem_of_its_line(tmp_path: Path) -> None:
    """A row of another shape does not give its `prompt` where others give the column that the user names."""
    content = f'{json.dumps(ROW)}\n{{"prompt": "a cat"}}\n'
    [(line, _, message)] = problems(tmp_path, "m.jsonl", content, build_read_options({}, prompt_column="caption"))
    assert (line, "has no 'caption'" in message) == (2, True)


@pytest.mark.parametrize("literal", [False, True])
def test_plain_text_has_no_columns(tmp_path: Path, *, literal: bool) -> None:
    """`--prompt-column` does nothing for a text file, and says so."""
    options = build_read_options({}, prompt_column="caption", literal=literal)
    [(_, _, message)] = problems(tmp_path, "m.txt", "a fox\na hare\n", options)
    assert "leave --prompt-column out" in message


def test_the_name_above_a_list_of_prompts_is_their_column(tmp_path: Path) -> None:
    """A text file that was saved from one column of a table keeps its name on the first line."""
    options = build_read_options({}, prompt_column="beschreibung")
    assert [row.prompt for row in good(tmp_path, "m.txt", "Beschreibung\na fox\n", options)] == ["a fox"]


@pytest.mark.parametrize(
    "content",
    [
        '[["Text DE", "seed"], ["a fox", 1]]',
        '{"columns": ["Text DE"], "data": [["a fox"]]}',
        '{"Text DE": {"0": "a fox"}}',
    ],
)
def test_tables_in_json_know_the_named_column(tmp_path: Path, content: str) -> None:
    """A table whose prompts stand under a name of one's own is read by that name."""
    [prompt] = good(tmp_path, "m.json", content, build_read_options({}, prompt_column="text_de"))
    assert prompt.prompt == "a fox"


@pytest.mark.parametrize(
    "given",
    [
        {"prompt_column": ""},
        {"prompt_column": " \t"},
        {"ignore": ""},
        {"ignore": " , "},
        {"prompt_column": "A", "ignore": "b,a"},
    ],
)
def test_names_of_nothing_and_with_two_meanings_are_refused(given: dict[str, str]) -> None:
    """An unset variable of a script is no column, and a column cannot be left out and hold the prompts."""
    with pytest.raises(InputError, match="prompt-column" if "prompt_column" in given else "ignore-columns"):
        build_read_options({}, **given)  # type: ignore[arg-type]  # texts only


@pytest.mark.parametrize(("name", "content"), FILES, ids=[name for name, _ in FILES])
@pytest.mark.parametrize("limit", [None, 1])
def test_a_misspelt_column_to_leave_out_is_refused(
    tmp_path: Path, name: str, content: str | bytes, limit: int | None
) -> None:
    """What it was to leave out would be used and paid for, in a plan of a few rows as well."""
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ManifestError, match="--ignore-columns: no column is called 'captoin'; did you mean 'caption'"):
        plan(tmp_path / name, build_read_options({}, ignore="captoin"), limit)


def test_a_column_to_leave_out_that_is_not_there_is_told(tmp_path: Path) -> None:
    """One night's file may lack a column of the others: the run goes on, and says that nothing was left out."""
    (tmp_path / "m.csv").write_text("prompt,mood\na fox,calm\n")
    report = plan(tmp_path / "m.csv", build_read_options({}, ignore="quality,mood"))
    [note] = report.notes
    assert "--ignore-columns: no column is called 'quality'. Found: prompt, mood" in note


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", "prompt,title\na fox,x\n"),
        ("m.yaml", "columns: {Titel: id, Szene: prompt}\nprompts:\n- {prompt: a fox, title: x}\n"),
        ("m.json", '{"columns": {"Titel": "id", "Szene": "prompt"}, "prompts": [{"prompt": "a fox", "title": "x"}]}'),
    ],
)
def test_names_of_a_mapping_that_no_row_has_are_told(tmp_path: Path, name: str, content: str) -> None:
    """The configuration's may be those of other manifests and the file's own misspelt: both are one line of the plan."""
    (tmp_path / name).write_text(content)
    configured = {"Titel": "id", "Szene": "prompt"} if name == "m.csv" else {}
    [note] = plan(tmp_path / name, build_read_options(configured)).notes
    assert "'Titel' (near: 'title'), 'Szene'" in note


def test_the_named_column_of_prompts_beats_that_of_the_file(tmp_path: Path) -> None:
    """A file's own `columns:` gives way to the command line, wherever the two columns stand."""
    content = "columns: {Lang: prompt}\nprompts:\n- {Kurz: a fox, Lang: a long fox}\n"
    [prompt] = good(tmp_path, "m.yaml", content, build_read_options({}, prompt_column="kurz"))
    assert prompt.prompt == "a fox"


def test_two_columns_of_one_meaning_are_asked_about(tmp_path: Path) -> None:
    """Where a mapping calls two columns the prompt, the last one is not taken in silence."""
    options = build_read_options({"Kurz": "prompt", "Lang": "prompt"})
    [(_, column, message)] = problems(tmp_path, "m.csv", "Kurz,Lang\na fox,a long fox\n", options)
    assert (column, "means prompt" in message) == ("Kurz", True)


def test_the_users_word_counts_inside_a_request(tmp_path: Path) -> None:
    """A setting in the body of a request line is left out as asked, and the others are listed as options."""
    body = {"prompt": "a fox", "quality": "high", "background": "auto"}
    findings = Findings()
    content = json.dumps({"custom_id": "1", "body": body})
    [prompt] = good(tmp_path, "m.jsonl", content, build_read_options({}, ignore="Quality"), findings)
    assert prompt.backend_opts == {"background": "auto"}
    assert ("quality" in findings.ignored, findings.used["background"]) == (True, "option:background")
