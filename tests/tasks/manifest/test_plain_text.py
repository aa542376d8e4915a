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
