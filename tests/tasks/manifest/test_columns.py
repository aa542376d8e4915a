"""Columns of other people's tables: used, carried along, left out, or asked about; never dropped in silence."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.core.configuration.settings import load_settings
from tasks.core.errors import InputError
from tasks.core.records import Problem, Prompt
from tasks.manifest import Findings
from tasks.manifest.header import MOST_COLUMNS
from tasks.manifest.names import guess_column
from tasks.manifest.reading import build_read_options, describe_columns
from tasks.manifest.row_gates import RULE
from tests.tasks.manifest.reading import good, problems, read


def csv(**cells: str) -> str:
    """A table of one row."""
    return ",".join(cells) + "\n" + ",".join(f'"{cell}"' for cell in cells.values()) + "\n"


@pytest.mark.parametrize(
    ("name", "value", "column", "expected"),
    [
        ("Width", "640", "width", 640),
        ("IMAGE WIDTH", "640", "width", 640),
        ("Num Images", "3", "samples", 3),
        ("num_outputs", "3", "samples", 3),
        ("Images-Per-Prompt", "3", "samples", 3),
        ("n", "3", "samples", 3),
        ("Count", "3", "samples", 3),
        ("batchSize", "3", "samples", 3),
        ("negativePrompt", "rain", "negative_prompt", "rain"),
        ("Num Inference Steps", "9", "steps", 9),
        ("cfgScale", "3", "backend_opts", {"guidance": 3.0}),
        ("\ufeffSeed\u200b", "5", "seed", 5),
        ("outputFormat", "webp", "format", "webp"),
    ],
)
def test_names_compare_without_case_spaces_and_underscores(
    tmp_path: Path, name: str, value: str, column: str, expected: Any
) -> None:
    """A person's spelling of a column is that column, and nothing of it is carried along beside."""
    [prompt] = good(tmp_path, "m.csv", csv(Prompt="a fox", **{name: value}))
    assert (getattr(prompt, column), prompt.extra) == (expected, {})


@pytest.mark.parametrize(
    ("size", "width", "height", "ratio"),
    [
        ("1024x768", 1024, 768, None),
        (" 1024 \u00d7 768 px", 1024, 768, None),
        ("landscape_16_9", 1024, 576, None),
        ("16:9", None, None, "16:9"),
        ("auto", None, None, None),
        ({"width": 640, "height": 480}, 640, 480, None),
    ],
)
def test_a_size_is_width_and_height(tmp_path: Path, size: Any, width: int, height: int, ratio: str) -> None:
    """`size` and `image_size` are read in every spelling of the request files."""
    for name in ("size", "imageSize"):
        [prompt] = good(tmp_path, "m.jsonl", json.dumps({"prompt": "a", name: size}))
        assert (prompt.width, prompt.height, prompt.aspect_ratio) == (width, height, ratio)


@pytest.mark.parametrize("size", ["1K", "big", "1024", "10x10", 512, {"width": 5}])
def test_a_size_that_is_none_is_refused_by_line(tmp_path: Path, size: Any) -> None:
    """No other size is made than the one that was meant."""
    assert next(
        (line, name)
        for line, name, _ in problems(tmp_path, "m.jsonl", f'"a"\n{json.dumps({"prompt": "b", "size": size})}')
    ) == (2, "size")


def test_a_size_beside_another_width_contradicts(tmp_path: Path) -> None:
    """Two sizes of one image are a problem, the same size twice is none."""
    [(_, name, message)] = problems(tmp_path, "m.csv", csv(prompt="a", size="64x96", width="65"))
    assert (name, "width" in message) == ("size", True)
    assert good(tmp_path, "m.csv", csv(prompt="a", size="64x96", width="64"))[0].height == 96


@pytest.mark.parametrize(
    "name",
    [
        "widht",
        "Heigth",
        "sampels",
        "promts",
        "negativ_prompt",
        "aspectratoi",
        "quality",
        "Sampler",
        "output",
        "strength",
        "--v",
    ],
)
def test_what_looks_like_a_setting_is_asked_about_once(tmp_path: Path, name: str) -> None:
    """A misspelt column and another tool's setting stop the plan, with the line, the column and what to do."""
    rows = f'"a"\n{json.dumps({"prompt": "b", name: "5"})}\n{json.dumps({"prompt": "c", name: "6"})}\n'
    [(line, column, message)] = problems(tmp_path, "m.jsonl", rows)
    assert (line, column) == (2, name)
    assert "--ignore-columns" in message
    assert "columns:" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.jsonl", '{"prompt": "a", "Keep": {"by": "sharpness", "best": 2}, "reject": " blank ", "reroll": 1}'),
        ("m.csv", 'prompt,keep,reject,reroll\na,"{""by"": ""sharpness"", ""best"": 2}",blank,1\n'),
        ("m.yaml", "defaults: {keep: {by: sharpness, best: 2}, reroll: 1}\nprompts:\n- {prompt: a, reject: blank}\n"),
        (
            "m.yaml",
            "template: {prompt: '{x}', keep: {by: sharpness, best: 2}, reject: blank, reroll: 1}\nmatrix: {x: [a]}\n",
        ),
    ],
)
def test_a_row_has_a_rule_of_its_own(tmp_path: Path, name: str, content: str) -> None:
    """In every format, for its own images; it is carried beside the row's other columns, and no part of its content."""
    [prompt] = good(tmp_path, name, content)
    assert prompt.extra[RULE] == {"keep": {"by": "sharpness", "best": 2}, "reject": "blank", "reroll": 1}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("keep", '"yes"', "carry"),
        ("keep", "true", "carry"),
        ("keep", '{"by": "sharpness", "beast": 1}', "beast"),
        ("keep", '{"best": 0}', "best"),
        ("keep", "{}", "object"),
        ("reject", "0", "carry"),
        ("reject", '"1"', "carry"),
        ("reject", '"TRUE"', "carry"),
        ("reroll", "99", "20"),
        ("keep_best", "1", "keep"),
        ("imagen:rule", "{}", "rename"),
    ],
)
def test_a_column_of_labels_is_no_rule(tmp_path: Path, name: str, value: str, said: str) -> None:
    """What cannot be a rule is a problem of its line, and says how the column is carried along."""
    [(line, column, message)] = problems(
        tmp_path, "m.jsonl", f'{{"prompt": "a"}}\n{{"prompt": "b", "{name}": {value}}}'
    )
    assert (line, column) == (2, name)
    assert said in message


def test_a_rule_is_carried_where_the_user_says_so(tmp_path: Path) -> None:
    """`columns: {keep: carry}` makes it a column like any other."""
    [prompt] = good(tmp_path, "m.csv", csv(prompt="a", keep="yes"), build_read_options({"keep": "carry"}))
    assert prompt.extra == {"keep": "yes"}


def test_an_ignored_column_is_left_out_and_listed(tmp_path: Path) -> None:
    """`--ignore-columns` takes names in any spelling; what it leaves out is neither used nor carried."""
    findings = Findings()
    options = build_read_options({}, ignore="Quality, WIDTH")
    [prompt] = good(tmp_path, "m.csv", csv(prompt="a", quality="hd", width="640", mood="calm"), options, findings)
    assert (prompt.width, prompt.extra) == (None, {"mood": "calm"})
    assert set(findings.to_record()["ignored"]) == {"quality", "width"}
    assert findings.to_record()["carried"] == ["mood"]


def test_a_configuration_says_what_columns_mean(tmp_path: Path) -> None:
    """`columns:` maps a name to a column, to an option of the backend, to carrying and to leaving out."""
    meanings = {
        "Titel": "id",
        "Bildtext": "prompt",
        "quality": "option",
        "strength": "option:prompt_strength",
        "lora": "carry",
        "x": None,
    }
    row = {
        "Titel": "f1",
        "Bildtext": "ein Fuchs",
        "prompt": "a fox",
        "quality": "hd",
        "strength": "0.8",
        "lora": "l",
        "x": "y",
    }
    findings = Findings()
    [prompt] = good(tmp_path, "m.csv", csv(**row), build_read_options(meanings), findings)
    assert (prompt.id, prompt.prompt) == ("f1", "ein Fuchs")
    assert prompt.backend_opts == {"quality": "hd", "prompt_strength": 0.8}
    assert prompt.extra == {"lora": "l", "prompt": "a fox"}
    assert "Titel as id" in describe_columns(findings.to_record())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.yaml", "columns: {Text: prompt, quality: option}\nprompts:\n- {Text: a fox, quality: hd}\n"),
        (
            "m.json",
            '{"columns": {"Text": "prompt", "quality": "option"}, "rows": [{"Text": "a fox", "quality": "hd"}]}',
        ),
    ],
)
def test_a_manifest_says_what_its_columns_mean(tmp_path: Path, name: str, content: str) -> None:
    """`columns:` stands in the manifest as well."""
    [prompt] = good(tmp_path, name, content)
    assert (prompt.prompt, prompt.backend_opts) == ("a fox", {"quality": "hd"})


def test_a_meaning_that_there_is_not_is_named() -> None:
    """A slip in `columns:` ends the run before it begins."""
    with pytest.raises(InputError, match="'sedd' is not a meaning"):
        build_read_options({"Startwert": "sedd"})


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("m.yaml", "columns:\n  Title: id\n  Startwert: sedd\nprompts:\n- a hare\n", 3),
        ("m.json", '{"columns": {"Startwert": "sedd"}, "prompts": ["a hare"]}', 1),
    ],
)
def test_a_meaning_that_there_is_not_is_placed(tmp_path: Path, name: str, content: str, line: int) -> None:
    """In a manifest it is a problem of its line."""
    [(found, _, message)] = problems(tmp_path, name, content)
    assert (found, "'sedd' is not a meaning" in message) == (line, True)


def test_a_meaning_in_the_configuration_is_placed(tmp_path: Path) -> None:
    """In the configuration it has its file and line, as every setting has."""
    path = tmp_path / "imagen.yaml"
    path.write_text("usage: {sink: none}\ncolumns:\n  Title: id\n  Startwert: sedd\n")
    settings = load_settings(path)
    with pytest.raises(InputError, match=rf"{path}:4: columns: 'Startwert': 'sedd'"):
        build_read_options(settings.columns, file=settings.file)


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.json"])
def test_the_column_of_prompts_can_be_named(tmp_path: Path, name: str) -> None:
    """`--prompt-column` wins over a column that is called prompt."""
    row = {"prompt": "kurz", "prompt_en": "a fox"}
    content = csv(**row) if name == "m.csv" else json.dumps([row] if name == "m.json" else row)
    [prompt] = good(tmp_path, name, content, build_read_options({}, prompt_column="Prompt EN"))
    assert (prompt.prompt, prompt.extra) == ("a fox", {"prompt": "kurz"})


@pytest.mark.parametrize(
    "content",
    [
        '{"prompt_en": "a", "d": 1}\n{"prompt_en": "b", "d": 2}\n',
        '[{"prompt_en": "a", "d": 1},\n{"prompt_en": "b", "d": 2}]',
    ],
)
def test_rows_without_a_prompt_are_one_problem(tmp_path: Path, content: str) -> None:
    """The names that were found are told once, with the option that names the right one."""
    [(line, _, message)] = problems(tmp_path, "m.json", content)
    assert line == 1
    assert "found: prompt_en, d" in message
    assert "--prompt-column" in message


@pytest.mark.parametrize("word", ["NaN", "nan", "None", "null", "NULL", "N/A", "<NA>", "#N/A", " NaT "])
def test_words_for_a_missing_value_are_none(tmp_path: Path, word: str) -> None:
    """What pandas and spreadsheets write for nothing is nothing in optional cells, and no prompt."""
    cells = dict.fromkeys(
        ("id", "negative_prompt", "width", "seed", "samples", "aspect_ratio", "backend", "guidance"), word
    )
    assert good(tmp_path, "m.csv", csv(prompt="a", **cells)) == good(tmp_path, "m.csv", csv(prompt="a"))


def test_a_missing_prompt_of_pandas_is_no_prompt(tmp_path: Path) -> None:
    """Nobody pays for an image of the word NaN."""
    assert problems(tmp_path, "m.csv", "prompt,seed\na,1\nNaN,2\n")[0][:2] == (3, "prompt")


@pytest.mark.parametrize(
    ("content", "asked"), [("prompt,n,count\na,2,3\n", ["count"]), ("prompt,n,count\na,2,2\nb,,3\nc,4,\n", [])]
)
def test_two_names_of_one_setting_must_agree(tmp_path: Path, content: str, asked: list[str]) -> None:
    """The second counts where the first gives nothing; where both say something else, the user is asked."""
    items = read(tmp_path, "m.csv", content)
    assert [item.column for item in items if isinstance(item, Problem)] == asked
    if not asked:
        assert [item.samples for item in items if isinstance(item, Prompt)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.yaml", "defaults: {widht: 64}\nprompts: [a]\n"),
        ("m.yaml", "template: {prompt: 'x {a}', sampels: 3}\nmatrix: {a: [1]}\n"),
        ("m.jsonl", '{"custom_id": "a", "body": {"prompt": "x", "heigth": 64}}\n'),
    ],
)
def test_misspelt_names_are_found_everywhere(tmp_path: Path, name: str, content: str) -> None:
    """Defaults, templates and bodies of requests are no exception."""
    assert len(problems(tmp_path, name, content)) == 1


def test_values_of_a_matrix_are_used_in_the_text(tmp_path: Path) -> None:
    """A key of the matrix that the template fills in needs no confirmation, whatever it is called."""
    [prompt] = good(tmp_path, "m.yaml", "template: {prompt: 'a fox, {quality}'}\nmatrix: {quality: [sharp]}\n")
    assert (prompt.prompt, prompt.extra) == ("a fox, sharp", {"quality": "sharp"})


@pytest.mark.parametrize(
    "word", ["weight", "Test", "mode", "speed", "task", "category", "Challenge", "timestamp", "author"]
)
def test_plain_words_are_no_misspelt_columns(word: str) -> None:
    """The columns of real collections are carried without a question."""
    assert guess_column(word) is None


REQUESTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"version": "5a" * 32, "input": {"prompt": "x", "num_outputs": 2, "aspect_ratio": "16:9", "go_fast": True}},
        {"samples": 2, "aspect_ratio": "16:9", "backend_opts": {"go_fast": True}},
    ),
    (
        {"input": {"prompt": "x", "image_size": "square_hd", "num_images": 3, "enable_safety_checker": False}},
        {"samples": 3, "width": 1024, "height": 1024, "backend_opts": {"enable_safety_checker": False}},
    ),
    (
        {"custom_id": "a", "body": {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 2}},
        {"id": "a", "samples": 2, "model": "m", "backend_opts": {}},
    ),
    (
        {
            "model": "m",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
            "modalities": ["image"],
        },
        {"model": "m", "backend_opts": {}},
    ),
]


@pytest.mark.parametrize(("request_line", "expected"), REQUESTS)
def test_request_files_are_read(tmp_path: Path, request_line: dict[str, Any], expected: dict[str, Any]) -> None:
    """Lines for Replicate, fal, OpenAI and OpenRouter are rows: known names are columns, the rest are options."""
    [prompt] = good(tmp_path, "m.jsonl", json.dumps(request_line))
    assert prompt.prompt == "x"
    assert {name: getattr(prompt, name) for name in expected} == expected


def test_a_chat_of_several_messages_is_no_prompt(tmp_path: Path) -> None:
    """Which of them would be the prompt, nobody said."""
    chat = {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}
    [(_, _, message)] = problems(tmp_path, "m.jsonl", json.dumps(chat))
    assert "2 texts" in message


@pytest.mark.parametrize("shape", ["header", "object", "twice"])
def test_a_flood_of_names_is_refused_at_once(tmp_path: Path, shape: str) -> None:
    """Names are compared in one pass: 100,000 of them, or one key 100,000 times, are a problem and no hour."""
    names = [f"c{number}" for number in range(100_000)]
    content = {
        "header": ",".join(["prompt", *names]) + "\na\n",
        "object": json.dumps({"prompt": "a", **dict.fromkeys(names, 1)}),
        "twice": "{" + ",".join(f'"{name}": 1' for name in [*names, names[-1]]) + "}",
    }[shape]
    begun = time.process_time()
    found = problems(tmp_path, "m.csv" if shape == "header" else "m.jsonl", content)
    assert found or shape == "object"
    assert time.process_time() - begun < 20
    if shape == "header":
        assert f"{MOST_COLUMNS:,}" in found[0][2]
