"""Plain text: what is between prompts, what tools write into lines, and how to say that it is all text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.records import Prompt
from tasks.manifest import Findings
from tasks.manifest.reading import build_read_options
from tests.tasks.manifest.reading import good, problems, read

A1111 = """a fox,
in snow
Negative prompt: blurry, bad
Steps: 20, CFG scale: 7, Seed: 5, Size: 512x768

an owl
Negative prompt: rain
Steps: 10, Seed: 6, Size: 64x64
"""


def read_text(folder: Path, content: str) -> tuple[list[str], list[str]]:
    """Prompts and notes of a text file."""
    findings = Findings()
    return [row.prompt for row in good(folder, "m.txt", content, None, findings)], list(findings.notes)


@pytest.mark.parametrize(
    ("content", "prompts", "told"),
    [
        ("# mine\na fox\n// later\n", ["a fox"], ["comments"]),
        ("a fox\n---\n***\nan owl\n_ _ _\n", ["a fox", "an owl"], ["rules"]),
        ("```text\na fox\n```\n", ["a fox"], ["code fences"]),
        ("- a fox\n* an owl\n", ["a fox", "an owl"], ["bullets"]),
        ("1. a fox\n2) an owl\n", ["a fox", "an owl"], ["bullets"]),
        ("- a fox\nan owl\n", ["- a fox", "an owl"], ["kept as a part"]),
        ("a fox\n\u200b\u200b\n\x07\n\n", ["a fox"], ["nothing to see"]),
        ("a fox -- or an owl\n#1 is not here\n", ["a fox -- or an owl"], ["comments"]),
    ],
)
def test_what_is_no_prompt_is_left_out_and_told(
    tmp_path: Path, content: str, prompts: list[str], told: list[str]
) -> None:
    """Each kind of line is told once for the file, with its number of lines."""
    found, notes = read_text(tmp_path, content)
    assert found == prompts
    assert len(notes) == len(told)
    assert all(word in note and "line" in note for word, note in zip(told, notes, strict=True))


@pytest.mark.parametrize(
    ("content", "prompts", "told"),
    [
        ("Prompts\na hare\nan elk, moss\n", ["a hare", "an elk, moss"], ["name of a column"]),
        ('"a hare"\n"an elk",\n', ["a hare", "an elk"], ["quotes around"]),
        ("'a hare',\n'an elk',\n", ["a hare", "an elk"], ["quotes around"]),
        ("(1) a hare\n(2) an elk\n", ["a hare", "an elk"], ["bullets"]),
        ("Prompt 1: a hare\nPrompt 2: an elk\n", ["a hare", "an elk"], ["bullets"]),
        ("* a hare\n  at dawn\n* an elk\n", ["a hare at dawn", "an elk"], ["bullets", "indented"]),
        ("/imagine prompt: a hare\n/imagine an elk\n", ["a hare", "an elk"], ["/imagine"]),
        ("a hare\u2028at dawn\nan elk\n", ["a hare\u2028at dawn", "an elk"], ["U+2028"]),
        ("a hare,\nat dawn\n", ["a hare,", "at dawn"], ["comma"]),
        ("a hare \\\nat dawn\n", ["a hare \\", "at dawn"], ["backslash"]),
        ("> a hare\n> an elk\n", ["a hare", "an elk"], ["bullets"]),
        ("---\ntitle: x\ntags:\n- y\n---\na hare\n", ["a hare"], ["top of a page"]),
        ("---\na: hare\n---\nan elk\n", ["a: hare", "an elk"], ["rules"]),
        ("a hare\n1\n12:00\n", ["a hare", "1", "12:00"], ["no letter"]),
        ("/pics/hare.png\na hare/elk.png hybrid\n", ["/pics/hare.png", "a hare/elk.png hybrid"], ["paths of files"]),
        ("a hare\n\ufeffan elk\n", ["a hare", "an elk"], []),
        ('say "hi"\nthe "hi" sign\n', ['say "hi"', 'the "hi" sign'], []),
        ("a hare (negative: fog) at dawn\nan elk\n", ["a hare (negative: fog) at dawn", "an elk"], ["sent as words"]),
        ("a photo negative: silver\nan elk\n", ["a photo negative: silver", "an elk"], []),
    ],
)
def test_what_stands_around_prompts_is_left_out_and_told(
    tmp_path: Path, content: str, prompts: list[str], told: list[str]
) -> None:
    """What all lines have around their prompts is not paid for as text; a mark of one line alone stays."""
    found, notes = read_text(tmp_path, content)
    assert found == prompts
    assert len(notes) == len(told)
    assert all(word in note for word, note in zip(told, notes, strict=True))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a hare ### Negative: fog, rain", {"negative_prompt": "fog, rain"}),
        ("a hare | negative: fog", {"negative_prompt": "fog"}),
        ("a hare [negative prompt: fog]", {"negative_prompt": "fog"}),
        ("a hare, Negative Prompt = fog", {"negative_prompt": "fog"}),
        ('"a hare" -s 40 -S 9 -W 640 -H 512 -C 4.5', {"steps": 40, "seed": 9, "width": 640, "height": 512}),
        ("a hare \u2014ar 3:2 \u2014no fog", {"aspect_ratio": "3:2", "negative_prompt": "fog"}),
        ("/imagine prompt: a hare --ar 2:3", {"aspect_ratio": "2:3"}),
        ("**a hare --ar 4:5** - <@123> (fast)", {"aspect_ratio": "4:5"}),
        ("a hare --seed -1", {"seed": None}),
    ],
)
def test_what_a_line_holds_beside_its_prompt_is_read(tmp_path: Path, line: str, expected: dict[str, object]) -> None:
    """The negative prompt and options of other tools are columns, not words that are sent and paid for."""
    findings = Findings()
    prompt, _ = good(tmp_path, "m.txt", f"{line}\nan elk\n", None, findings)
    assert prompt.prompt == "a hare"
    assert {name: getattr(prompt, name) for name in expected} == expected
    assert findings.notes


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ('{"prompt": "a hare"}\n{"prompt": "an elk"}\n', ".jsonl"),
        ('["a hare", "an elk"]\n', ".json"),
        ('PROMPTS = [\n  "a hare",\n]\n', ".json"),
        ("- prompt: a hare\n  seed: 3\n", ".yaml"),
        ("prompts:\n- a hare\n", ".yaml"),
        ("prompt: a hare\nseed: 3\n", ".yaml"),
        ("1\ta hare\n2\tan elk\n", ".tsv"),
        ("1;a hare;512\n2;an elk;512\n", ".csv"),
        ("a hare;512;3\nan elk; 768\n", ".csv"),
        ("%PDF-1.7\na hare\n", "plain text"),
        ("{\\rtf1\\ansi a hare}\n", "plain text"),
        ("<!DOCTYPE html>\n<p>a hare</p>\n", "plain text"),
    ],
)
def test_another_kind_of_file_called_txt_is_told(tmp_path: Path, content: str, remedy: str) -> None:
    """Its braces, keys and numbers are no prompts; the message says what to call it, and --literal takes it as it is."""
    [(line, _, message)] = problems(tmp_path, "m.txt", content)
    assert line == 1
    assert remedy in message
    assert "--literal" in message
    assert good(tmp_path, "m.txt", content, build_read_options({}, literal=True))


def test_lists_of_models_in_parameters_are_one_value(tmp_path: Path) -> None:
    """Civitai writes JSON among A1111's parameters; its commas end no value."""
    resources = '[{"type": "lora", "weight": 0.5, "air": "urn:air:x"}]'
    text = f"a hare\nSteps: 20, Seed: 4, Civitai resources: {resources}, Size: 64x96\n"
    [prompt] = good(tmp_path, "m.txt", text)
    assert (prompt.seed, prompt.width) == (4, 64)
    assert prompt.extra == {"Civitai resources": [{"type": "lora", "weight": 0.5, "air": "urn:air:x"}]}


@pytest.mark.parametrize(
    "line", ["# a", "---", "```", "- a", "--prompt x", "Steps: 20, Seed: 1", "prompt;width", "a --ar 1:1"]
)
def test_literal_lines_are_prompts(tmp_path: Path, line: str) -> None:
    """`--literal` takes every line as it stands."""
    rows = good(tmp_path, "m.txt", f"{line}\nan owl\n", build_read_options({}, literal=True))
    assert [row.prompt for row in rows] == [line, "an owl"]


def test_lines_of_options_are_rows(tmp_path: Path) -> None:
    """A1111's prompts from a file, and Midjourney's parameters behind a prompt."""
    first, second = good(
        tmp_path,
        "m.txt",
        '--prompt "a fox, 8k" --negative_prompt "rain" --width 512 --height 768 --steps=30 --cfg_scale 7 --seed 5\n'
        "an owl at dusk --ar 16:9 --no dogs --seed 9\n",
    )
    assert (first.prompt, first.negative_prompt, first.width, first.height) == ("a fox, 8k", "rain", 512, 768)
    assert (first.steps, first.seed, first.backend_opts) == (30, 5, {"guidance": 7.0})
    assert (second.prompt, second.aspect_ratio, second.negative_prompt, second.seed) == (
        "an owl at dusk",
        "16:9",
        "dogs",
        9,
    )


@pytest.mark.parametrize("option", ["--v 6", "--sampler_name Euler", "--stylize 100", "--raw", "--steps x"])
def test_options_that_nothing_reads_are_problems(tmp_path: Path, option: str) -> None:
    """No parameter is paid for as a part of the prompt, nor left out in silence."""
    [(line, column, _)] = problems(tmp_path, "m.txt", f"an owl\na fox {option}\n")
    assert line == 2
    assert column


def test_an_option_that_stands_twice_is_a_problem(tmp_path: Path) -> None:
    """Which of the two counts, nobody said."""
    assert "--seed stands twice" in problems(tmp_path, "m.txt", "a --seed 1 --seed 2\n")[0][2]


def test_infotext_is_rows(tmp_path: Path) -> None:
    """Parameters as A1111 writes them beside an image are the columns of the prompt before them."""
    first, second = good(tmp_path, "m.txt", A1111)
    assert (first.line, first.prompt, first.negative_prompt) == (1, "a fox,\nin snow", "blurry, bad")
    assert (first.steps, first.seed, first.width, first.height) == (20, 5, 512, 768)
    assert first.backend_opts == {"guidance": 7.0}
    assert (second.line, second.prompt, second.seed) == (6, "an owl", 6)


def test_parameters_without_a_prompt_are_a_problem(tmp_path: Path) -> None:
    """Three lines of parameters are not three prompts."""
    items = read(tmp_path, "m.txt", "Negative prompt: rain\nSteps: 20, Seed: 1\n")
    assert [isinstance(item, Prompt) for item in items] == [False]


@pytest.mark.parametrize("header", ["prompt,width", "Prompt;Seed", "id\tprompt"])
def test_a_table_called_txt_is_told(tmp_path: Path, header: str) -> None:
    """Its header is not the first prompt."""
    [(line, _, message)] = problems(tmp_path, "m.txt", f"{header}\na,1\n")
    assert line == 1
    assert ".csv" in message


@pytest.mark.parametrize(
    "part", ["negative ", "# negative", "__a/", "{a|", "<lora:", "#", '"', "\\'", "-s ", "--a ", "- "]
)
def test_a_line_of_one_sign_is_read_at_once(tmp_path: Path, part: str) -> None:
    """No line is searched again from each of its signs: a hostile one costs no more than its length."""
    assert read(tmp_path, "m.txt", f"a hare {part * (30_000 // len(part))}\nan elk\n")
