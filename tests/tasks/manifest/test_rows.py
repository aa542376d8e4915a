from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.records import Problem, Prompt
from tasks.manifest import Findings
from tasks.manifest.names import NAMES
from tasks.manifest.row_gates import RULE
from tests.tasks.manifest.reading import good, problems, read

MAX_SEED = 2**63 - 1


def row(**cells: Any) -> str:
    """A line of JSONL with a prompt, unless `cells` say otherwise."""
    return json.dumps({"prompt": "a cat", **cells}) + "\n"


def nested(levels: int) -> dict[str, Any]:
    """A value of so many levels."""
    return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}


def rest(column: str, alias: str) -> dict[str, Any]:
    """What a row needs beside the column; `c` is guidance only in the company of `p`, a mask belongs to a picture."""
    if column == "prompt":
        return {}
    company: dict[str, Any] = {"w": {"h": 96}, "h": {"w": 64}}.get(
        alias, {"image": "a.png"} if column == "mask" else {}
    )
    return {"p" if alias == "c" else "prompt": "a cat", **company}


BAD_CELLS = [
    ("prompt", "", "is empty"),
    ("prompt", " \n\t", "is empty"),
    ("prompt", None, "is empty"),
    ("prompt", "\u200b \ufeff", "is empty"),
    ("prompt", "\u3164", "is empty"),
    ("prompt", 5, "5 is not text"),
    ("prompt", ["a cat"], "is not text"),
    ("prompt", "x" * 40_000, "is 40000 characters long; at most 32768"),
    ("prompt", "a\0b", "NUL"),
    ("negative_prompt", 5, "5 is not text"),
    ("backend", False, "is not the name of a backend, nor a list of names"),
    ("backend", "a,,b", "names no backend"),
    ("backend", [], "names no backend"),
    ("width", -512, "-512 is not a size; give a whole number from 16 to 16384 pixels"),
    ("width", 0, "0 is not a size"),
    ("height", 10**12, "1000000000000 is not a size"),
    ("height", "9" * 5_000, "is not a size"),
    ("width", 512.5, "512.5 is not a size"),
    ("width", True, "True is not a size"),
    ("height", "wide", "'wide' is not a size"),
    ("height", "512px", "'512px' is not a size"),
    ("height", [512], "[512] is not a size"),
    ("steps", 0, "0 is not a number of steps; give a whole number from 1 to 1000"),
    ("steps", 1e300, "is not a number of steps"),
    ("samples", 0, "0 is not a number of samples"),
    ("samples", 1_001, "1001 is not a number of samples"),
    ("seed", -2, "-2 is not a seed"),
    ("seed", MAX_SEED + 1, "9223372036854775808 is not a seed"),
    ("seed", "chance", "'chance' is not a seed"),
    ("seed", 2.0**60, "has lost its last digits"),
    ("id", 2.0**60, "has lost its last digits"),
    ("id", "../../x", "cannot be a part of a file name"),
    ("id", "a/b", "cannot be a part of a file name"),
    ("id", "a\\b", "cannot be a part of a file name"),
    ("id", ".", "cannot be a part of a file name"),
    ("id", "..", "cannot be a part of a file name"),
    ("id", "  ", "cannot be a part of a file name"),
    ("id", "x" * 300, "cannot be a part of a file name"),
    ("id", "a\nb", "cannot be a part of a file name"),
    ("id", "a\x1bb", "cannot be a part of a file name"),
    ("id", True, "True is not text"),
    ("format", "gif", "'gif' is not an image format; there are png, jpeg and webp"),
    ("format", 3, "3 is not an image format"),
    ("aspect_ratio", "wide", "'wide' is not an aspect ratio; write it as 16:9"),
    ("aspect_ratio", "16:9:1", "is not an aspect ratio"),
    ("aspect_ratio", "0:9", "is not an aspect ratio"),
    ("aspect_ratio", "101:1", "is not an aspect ratio"),
    ("aspect_ratio", "-1:1", "is not an aspect ratio"),
    ("aspect_ratio", "1.5:1", "is not an aspect ratio"),
    ("aspect_ratio", 1.78, "1.78 is not an aspect ratio"),
    ("guidance", "strong", "'strong' is not a number"),
    ("guidance", True, "True is not a number"),
    ("guidance", "inf", "'inf' is not a number; write it as 7.5"),
    ("guidance", "7,500", "is not a number"),
    ("guidance", [], "[] is not a number"),
    ("backend_opts", "{go_fast", "is not JSON; write an object"),
    ("backend_opts", "[1]", "[1] is not a set of named options"),
    ("backend_opts", 5, "5 is not a set of named options"),
    ("backend_opts", "[" * 100_000, "is not JSON; write an object"),
    ("backend_opts", nested(65), "nested deeper than 64 levels"),
    ("note", nested(65), "nested deeper than 64 levels"),
    ("backend_opts", '{"a": 1e999}', "cannot be sent as JSON"),
    ("backend_opts", '{"a": "half a character \\ud83d"}', "cannot be sent as JSON"),
]


@pytest.mark.parametrize(("column", "value", "message"), BAD_CELLS)
def test_a_bad_cell_is_placed_and_explained(tmp_path: Path, column: str, value: Any, message: str) -> None:
    """One problem, on its line, under its column, and the rows around it are read."""
    items = read(tmp_path, "m.jsonl", row() + row(**{column: value}) + row(id="last"))
    assert [type(item) for item in items] == [Prompt, Problem, Prompt]
    problem = items[1]
    assert isinstance(problem, Problem)
    assert (problem.line, problem.column) == (2, column)
    assert message in problem.message


@pytest.mark.parametrize(
    ("column", "written", "meant"),
    [
        ("aspect_ratio", "16 : 9", "16:9"),
        ("aspect_ratio", "3/2", "3:2"),
        ("aspect_ratio", "4x3", "4:3"),
        ("aspect_ratio", "21\u22369", "7:3"),
        ("aspect_ratio", "ASPECT_10_16", "5:8"),
        ("aspect_ratio", "04:03:00", "4:3"),
        ("aspect_ratio", "1344x768", "7:4"),
        ("format", ".JPG", "jpeg"),
        ("format", "image/webp", "webp"),
        ("guidance", "3,5", 3.5),
        ("size", "(1216, 832)", (1216, 832)),
    ],
)
def test_other_ways_to_write_a_value_are_read(tmp_path: Path, column: str, written: str, meant: Any) -> None:
    """Spreadsheets and other tools write one value in many ways; one that can mean only this is not refused."""
    [prompt] = good(tmp_path, "m.jsonl", row(**{column: written}))
    found = {
        "guidance": prompt.backend_opts.get("guidance"),
        "size": (prompt.width, prompt.height),
        "format": prompt.format,
        "aspect_ratio": prompt.aspect_ratio,
    }
    assert found[column] == meant


@pytest.mark.parametrize("seed", [-1, "-1", "Random", -1.0])
def test_any_seed_is_none(tmp_path: Path, seed: Any) -> None:
    """A seed of -1 asks for any seed in most tools: the row gets one of its own, and that is told once."""
    findings = Findings()
    [first, second] = good(tmp_path, "m.jsonl", row(seed=seed) + row(seed=seed), findings=findings)
    assert (first.seed, second.seed) == (None, None)
    [note] = findings.notes
    assert "2 lines: 1, 2" in note


def test_the_shown_value_is_short(tmp_path: Path) -> None:
    """A message fits on a screen, whatever stands in the cell."""
    [(_, _, message)] = problems(tmp_path, "m.jsonl", row(seed="x" * 10_000))
    assert len(message) < 150


def test_all_problems_of_a_row_are_told_at_once(tmp_path: Path) -> None:
    """Nobody mends a manifest one run at a time."""
    found = problems(tmp_path, "m.jsonl", row(prompt="", width=-1, seed="x", format="gif"))
    assert sorted(str(column) for _, column, _ in found) == ["format", "prompt", "seed", "width"]


def test_three_sizes_are_one_too_many(tmp_path: Path) -> None:
    """Width, height and aspect ratio together could contradict one another."""
    [(line, column, message)] = problems(tmp_path, "m.jsonl", row(width=64, height=64, aspect_ratio="1:1"))
    assert (line, column) == (1, "aspect_ratio")
    assert "two of the three" in message


@pytest.mark.parametrize("column", ["width", "aspect_ratio", "seed", "samples", "id", "guidance", "backend_opts"])
@pytest.mark.parametrize("nothing", [None, "", float("nan")])
def test_a_cell_that_gives_nothing_is_left_out(tmp_path: Path, column: str, nothing: Any) -> None:
    """Null, an empty cell and NaN mean that the column was not given."""
    assert good(tmp_path, "m.jsonl", row(**{column: nothing})) == good(tmp_path, "m.jsonl", row())


@pytest.mark.parametrize(
    ("column", "value", "read_as"),
    [
        ("width", "512", 512),
        ("width", " 512.0 ", 512),
        ("height", 512.0, 512),
        ("width", 16, 16),
        ("width", 16_384, 16_384),
        ("seed", 0, 0),
        ("seed", MAX_SEED, MAX_SEED),
        ("seed", str(MAX_SEED), MAX_SEED),
        ("samples", "3", 3),
        ("id", 42, "42"),
        ("id", " fox-1 ", "fox-1"),
        ("id", "x" * 200, "x" * 200),
        ("id", "狐", "狐"),
        ("aspect_ratio", "16:9", "16:9"),
        ("aspect_ratio", " 32:18 ", "16:9"),
        ("aspect_ratio", "100:100", "1:1"),
        ("format", "JPG", "jpeg"),
        ("format", "webp", "webp"),
        ("guidance", "3.5", {"guidance": 3.5}),
        ("backend_opts", '{"go_fast": true}', {"go_fast": True}),
        ("backend_opts", {"nested": {"list": [1, None]}}, {"nested": {"list": [1, None]}}),
        ("prompt", "  edges stay \n", "  edges stay \n"),
        ("prompt", "x" * 32_768, "x" * 32_768),
    ],
)
def test_a_good_cell_is_read(tmp_path: Path, column: str, value: Any, read_as: Any) -> None:
    """Text and numbers of every spelling arrive as the one value that they mean."""
    [prompt] = good(tmp_path, "m.jsonl", row(**{column: value}))
    assert getattr(prompt, "backend_opts" if column == "guidance" else column) == read_as


ALIASES = [(column, alias) for column, names in NAMES.items() for alias in names]
SAMPLE_VALUES: dict[str, Any] = {
    "id": "fox",
    "prompt": "a fox",
    "negative_prompt": "rain",
    "backend": "sketch",
    "width": 64,
    "height": 96,
    "aspect_ratio": "2:3",
    "steps": 7,
    "seed": 11,
    "image": "a.png",
    "mask": "m.png",
    "model": "flux-dev",
    "samples": 2,
    "format": "webp",
    "guidance": 2.5,
    "backend_opts": {"a": 1},
}
RULES: dict[str, Any] = {"keep": {"by": "sharpness", "best": 1}, "reject": "sharpness < 20", "reroll": 1}


@pytest.mark.parametrize("cell", ["a, b", ["a", "b"], ["a", "b", "a"]])
def test_several_backends_are_named_in_a_list_or_with_commas(tmp_path: Path, cell: Any) -> None:
    """In the order in which they are tried, each once."""
    assert good(tmp_path, "m.jsonl", row(backend=cell))[0].backends == ("a", "b")


@pytest.mark.parametrize(("column", "alias"), [place for place in ALIASES if place[0] not in {"size", *RULES}])
def test_every_alias_is_its_column(tmp_path: Path, column: str, alias: str) -> None:
    """Prompt collections and other tools' files are read without renaming a column."""
    [prompt] = good(tmp_path, "m.jsonl", json.dumps({**rest(column, alias), alias: SAMPLE_VALUES[column]}))
    record = {"guidance": "backend_opts", "backend": "backends"}
    expected = {"guidance": {"guidance": 2.5}, "backend": ("sketch",)}.get(column, SAMPLE_VALUES[column])
    assert getattr(prompt, record.get(column, column)) == expected
    assert prompt.extra == ({alias: "flux-dev"} if column == "model" else {})


@pytest.mark.parametrize(("column", "alias"), [place for place in ALIASES if place[0] in RULES])
def test_a_rule_of_a_row_travels_beside_its_columns(tmp_path: Path, column: str, alias: str) -> None:
    """It says which of the row's images are kept, and is no part of what makes one."""
    [prompt] = good(tmp_path, "m.jsonl", row(**{alias: RULES[column]}))
    assert prompt.extra == {RULE: {column: RULES[column]}}


@pytest.mark.parametrize(("column", "alias"), [place for place in ALIASES if place[0] != "model"])
def test_a_problem_names_the_column_as_the_file_does(tmp_path: Path, column: str, alias: str) -> None:
    """A user looks for the name that stands in the file."""
    row = json.dumps({**rest(column, alias), alias: [[]]})
    [(line, named, _)] = problems(tmp_path, "m.jsonl", f'"a cat"\n{row}')
    assert (line, named) == (2, alias)


def test_a_category_column_is_no_guidance(tmp_path: Path) -> None:
    """A `c` on its own is carried, whatever it holds."""
    [prompt] = good(tmp_path, "m.jsonl", row(c="animals"))
    assert (prompt.backend_opts, prompt.extra) == ({}, {"c": "animals"})


def test_a_rows_guidance_wins_over_the_defaults(tmp_path: Path) -> None:
    """Also where the defaults give it by its name among the options."""
    content = "defaults: {backend_opts: {guidance: 1, a: 2}}\nprompts: [{prompt: x, guidance: 5}]\n"
    assert good(tmp_path, "m.yaml", content)[0].backend_opts == {"guidance": 5.0, "a": 2}


def test_the_second_name_of_a_column_is_an_extra_one(tmp_path: Path) -> None:
    """A collection that has both `prompt` and `caption` loses neither."""
    [prompt] = good(tmp_path, "m.jsonl", row(caption="a photo of a cat", uid="u1", custom_id="c1"))
    assert (prompt.prompt, prompt.id) == ("a cat", "c1")
    assert prompt.extra == {"caption": "a photo of a cat", "uid": "u1"}


def test_other_columns_are_carried_as_they_are(tmp_path: Path) -> None:
    """Whatever a user keeps in the manifest stands in the metadata afterwards."""
    extra = {"campaign": "spring", "tags": ["a", {"b": None}], "Caption": "x", "empty": "", "": 1}
    [prompt] = good(tmp_path, "m.jsonl", row(**extra))
    assert prompt.extra == extra


@pytest.mark.parametrize("text", ["#REF!", "#NAME?", "#BEZUG!", "Err:502", "nan", "None"])
def test_words_in_place_of_a_text_are_no_prompts(tmp_path: Path, text: str) -> None:
    """Errors of spreadsheets, and what pandas writes for nothing, are refused in every kind of file."""
    assert [(line, column) for line, column, _ in problems(tmp_path, "m.jsonl", row(prompt=text))] == [(1, "prompt")]


def test_one_name_in_two_spellings_is_asked_about(tmp_path: Path) -> None:
    """`Prompt` beside `prompt` is one of them by mistake, unless both say the same."""
    [(_, column, _)] = problems(tmp_path, "m.jsonl", row(prompt="a fox", Prompt="an owl"))
    assert column == "Prompt"
    assert good(tmp_path, "m.jsonl", row(prompt="a fox", Prompt="a fox"))


def test_guidance_stands_beside_the_other_options(tmp_path: Path) -> None:
    """`guidance` goes to backend_opts, and what is written there by name wins."""
    first, second = good(
        tmp_path, "m.jsonl", row(guidance=2, backend_opts={"a": 1}) + row(cfg=2, backend_opts={"guidance": 9})
    )
    assert first.backend_opts == {"guidance": 2.0, "a": 1}
    assert second.backend_opts == {"guidance": 9}


def test_openai_batch_lines_are_rows(tmp_path: Path) -> None:
    """A batch file written for OpenAI runs as it is."""
    line = {
        "custom_id": "request-1",
        "method": "POST",
        "url": "/v1/images/generations",
        "body": {"model": "gpt-image-1", "prompt": "a cat", "n": 2, "size": "1536x1024", "quality": "high"},
    }
    [prompt] = good(tmp_path, "batch.jsonl", json.dumps(line))
    assert (prompt.id, prompt.prompt, prompt.samples) == ("request-1", "a cat", 2)
    assert (prompt.width, prompt.height) == (1536, 1024)
    assert prompt.backend_opts == {"quality": "high"}
    assert prompt.extra == {"method": "POST", "url": "/v1/images/generations", "model": "gpt-image-1"}


def test_an_automatic_openai_size_asks_for_none(tmp_path: Path) -> None:
    """`size: auto` leaves the size to the backend."""
    [prompt] = good(tmp_path, "batch.jsonl", json.dumps({"custom_id": "a", "body": {"prompt": "x", "size": "auto"}}))
    assert (prompt.width, prompt.height, prompt.samples) == (None, None, 1)


def test_bad_openai_lines_are_problems(tmp_path: Path) -> None:
    """A batch line is checked like any other row."""
    found = problems(tmp_path, "batch.jsonl", json.dumps({"custom_id": "a", "body": {"size": "big", "n": 0}}))
    assert sorted(str(column) for _, column, _ in found) == ["None", "n", "size"]


def test_a_body_without_an_id_is_an_ordinary_column(tmp_path: Path) -> None:
    """Only the shape of a batch line is taken for one."""
    [prompt] = good(tmp_path, "m.jsonl", row(body={"prompt": "another"}))
    assert (prompt.prompt, prompt.extra) == ("a cat", {"body": {"prompt": "another"}})


@pytest.mark.parametrize("value", ["x" * 3_000_000, ["x" * 1_500_000, {"y" * 600_000: 1}]])
def test_a_row_that_no_ledger_keeps_is_refused(value: Any, tmp_path: Path) -> None:
    """What is carried along is bounded when it is read, because a ledger's texts are bounded when they are read."""
    [(line, _, message)] = problems(tmp_path, "m.json", f"[{row(photo=value)}]")
    assert line == 1
    assert "carries" in message


@pytest.mark.parametrize("column", ["samples", "width", "steps", "seed", "guidance"])
def test_a_number_of_400_digits_is_refused_on_one_line(column: str, tmp_path: Path) -> None:
    """JSON has whole numbers of any length; one that no float holds is an error of its cell, not of the program."""
    [(_, told_column, message)] = problems(tmp_path, "m.json", json.dumps([{"prompt": "a fox", column: 10**400}]))
    assert told_column == column
    assert len(message) < 200
