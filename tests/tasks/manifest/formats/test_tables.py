"""Tables as spreadsheets and data frames leave them: titles, headers that come again, separators inside of cells."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from tasks.manifest import Findings
from tasks.manifest.reading import describe_columns
from tests.tasks.manifest.reading import good, problems


@pytest.mark.parametrize(
    "content",
    [
        "Campaign spring 2026\n\nprompt,seed\na hare,7\n",
        "Campaign;;\nas of May;;\nprompt;seed;\na hare;7;\n",
        "sheet1\t\nprompt\tseed\na hare\t7\n",
    ],
)
def test_titles_stand_above_the_header(tmp_path: Path, content: str) -> None:
    """What a spreadsheet has above its table is no row, the lines keep their numbers, and it is told."""
    findings = Findings()
    [prompt] = good(tmp_path, "m.csv", content, findings=findings)
    assert (prompt.prompt, prompt.seed, prompt.line) == ("a hare", 7, len(content.splitlines()))
    [note] = findings.notes
    assert f"named on line {len(content.splitlines()) - 1}" in note


@pytest.mark.parametrize("name", ["m.csv", "m.tsv"])
@pytest.mark.parametrize("content", ["", "\n", "\r\n" * 40])
def test_an_empty_table_has_no_rows(tmp_path: Path, name: str, content: str) -> None:
    """A file with nothing in it is no error of ours; the plan says that it holds no prompt."""
    assert good(tmp_path, name, content) == []
    assert good(tmp_path, name, f"{content}prompt\tseed\na hare\t3\n")[0].seed == 3


def test_a_table_without_prompts_is_not_searched_for_them(tmp_path: Path) -> None:
    """A row of data that holds the word `text` is no header."""
    [(line, _, message)] = problems(tmp_path, "m.csv", "question,answer\nwhat is,text\n")
    assert line == 1
    assert "found: question, answer" in message


@pytest.mark.parametrize("name", ["m.csv", "m.tsv"])
def test_a_header_that_comes_again_is_no_row(tmp_path: Path, name: str) -> None:
    """Tables put one behind the other bring headers and byte order marks along, which nobody pays for."""
    part = codecs.BOM_UTF8 + b"prompt\tmood\na hare\tcalm\n"
    findings = Findings()
    prompts = good(tmp_path, name, part + part + part, findings=findings)
    assert [(prompt.prompt, prompt.line) for prompt in prompts] == [("a hare", 2), ("a hare", 4), ("a hare", 6)]
    [note] = findings.notes
    assert "2 lines: 3, 5" in note


def test_in_a_table_of_one_column_separators_are_text(tmp_path: Path) -> None:
    """A list of prompts under the name of its column needs no quotes, and the reading is told."""
    findings = Findings()
    prompts = good(tmp_path, "m.csv", "prompt\na hare, grass, dew\nan elk\n", findings=findings)
    assert [prompt.prompt for prompt in prompts] == ["a hare, grass, dew", "an elk"]
    assert "(1 line: 2)" in next(iter(findings.notes))


def test_a_cell_with_a_bare_separator_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Where several columns are, nobody knows which cell the separator belongs to."""
    [(line, _, message)] = problems(tmp_path, "m.csv", "prompt;seed\na hare; grass;7\n")
    assert line == 2
    assert "';' needs straight quotes" in message


def test_a_column_without_a_name_is_listed(tmp_path: Path) -> None:
    """The index that pandas writes has no name, and is still told as carried along."""
    findings = Findings()
    [prompt] = good(tmp_path, "m.csv", ",prompt\n3,a hare\n", findings=findings)
    assert prompt.extra == {"": "3"}
    assert "carried along: (a column without a name)" in describe_columns(findings.to_record())


@pytest.mark.parametrize("text", ["un caf\u00e9 noir", "Z\u00fcrich", "M\u00e4dchen", "gar\u00e7on \u2019"])
def test_mac_roman_is_not_taken_for_windows(tmp_path: Path, text: str) -> None:
    """A capital behind a small letter shows that the encoding is another one; the message names it."""
    content = f"prompt,seed\n{text},1\n".encode("mac_roman")
    [(line, _, message)] = problems(tmp_path, "m.csv", content)
    assert line == 2
    assert "mac_roman of Excel on a Mac" in message


def test_windows_text_is_still_read(tmp_path: Path) -> None:
    """Letters and signs of Western text in Windows-1252 are read as before."""
    text = "Der Fu\u00dfg\u00e4nger \u201eM\u00fcller\u201c, \u00c9l\u00e8ve, L\u2019\u00c9T\u00c9 \u2013 na\u00efve GR\u00d6\u00dfE"
    [prompt] = good(tmp_path, "m.csv", f'prompt,seed\n"{text}",1\n'.encode("cp1252"))
    assert prompt.prompt == text
