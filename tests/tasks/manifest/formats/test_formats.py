from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.core.records import Prompt
from tasks.manifest import ReadOptions
from tasks.manifest.lines import is_visible
from tasks.manifest.rows import is_lack
from tests.tasks.manifest.reading import good, problems, read

BAD_FILES = [
    (
        "m.jsonl",
        '{"prompt": "a"}\n{"prompt": "b"\n{"prompt": "c"}\n',
        2,
        "is not JSON (column 15: Expecting ',' delimiter)",
    ),
    ("m.jsonl", '{"prompt": "a"}\n\n[1]\n', 3, "is neither an object nor a text"),
    ("m.jsonl", "5\n", 1, "is neither an object nor a text"),
    ("m.jsonl", "null\n", 1, "is neither an object nor a text"),
    ("m.jsonl", '{"prompt": "a", "width": Infinity}\n', 1, "Infinity is not a number"),
    ("m.jsonl", '{"prompt": "a", "note": "\\ud83d"}\n', 1, "half of a character"),
    ("m.jsonl", '{"prompt": "a", "prompt": "b"}\n', 1, "is not JSON ('prompt' stands twice in one object)"),
    ("m.json", '[{"prompt": "a", "extra": {"x": 1, "x": 1}}]', 1, "'x' stands twice in one object"),
    ("m.jsonl", '{"prompt": "a", "note": ' + "9" * 5_000 + "}\n", 1, "is not JSON"),
    ("m.jsonl", "[" * 200_000 + "\n", 1, "is not JSON (it is nested too deeply)"),
    ("m.json", '{"about": "a", "rows": 5}', 1, "holds no list of rows"),
    ("m.json", '[{"prompt": "a"},\n {"prompt" "b"}]', 2, "is not JSON (column 12: Expecting ':' delimiter)"),
    ("m.json", '[{"prompt": "a"},\n 5]', 2, "is neither an object nor a text"),
    (
        "m.json",
        b'["a",\n"\xc3\xa9\xe9"]',
        2,
        "is not UTF-8 (byte 0xe9 in column 3); convert the file to UTF-8, or say --encoding",
    ),
    ("m.json", "", 1, "is not JSON"),
    ("m.csv", 'prompt,seed\na,1\n"b,2\nc,3\n', 3, "is not CSV (a quoted cell is not closed)"),
    ("m.csv", 'prompt\n"a"b\n', 2, "is not CSV"),
    ("m.csv", "prompt,seed\na,1,2\n", 2, "has 3 cells, the header has 2 columns"),
    ("m.csv", "\ntitle,seed\na,1\n", 2, "no column holds the prompts; found: title, seed; call one prompt"),
    ("m.csv", "prompt,seed,prompt\na,1,b\n", 1, "appears twice"),
    ("m.tsv", "prompt\tseed\na\t1\t2\n", 2, "has 3 cells, the header has 2 columns"),
    ("m.tsv", "title\tseed\na\t1\n", 1, "no column holds the prompts"),
    ("m.tsv", "prompt\tseed\tseed\na\t1\t2\n", 1, "appears twice"),
    ("m.parquet", "prompt\na\n", None, "is not readable Parquet"),
    ("m.parquet", "", None, "is not readable Parquet"),
]


@pytest.mark.parametrize(("name", "content", "line", "message"), BAD_FILES)
def test_what_is_wrong_is_placed(
    tmp_path: Path, name: str, content: str | bytes, line: int | None, message: str
) -> None:
    """A broken file is one problem with its line, and what to do can be seen from it."""
    [(found, _, text)] = problems(tmp_path, name, content)
    assert found == line
    assert message in text


BAD_BYTES = [
    (b"a\0b", "holds a NUL byte (byte "),
    ("é".encode("latin-1"), "is not UTF-8 (byte 0xe9 in column "),
]
LINES = {"m.jsonl": b'{"prompt": "%s"}\n', "m.csv": b"%s,1\n", "m.tsv": b"%s\t1\n", "m.txt": b"%s\n"}
HEADERS = {"m.csv": b"prompt,seed\n", "m.tsv": b"prompt\tseed\n"}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(("damage", "message"), BAD_BYTES)
def test_a_damaged_line_is_skipped_and_named(tmp_path: Path, name: str, damage: bytes, message: str) -> None:
    """One line with bytes that are no text costs that line only, and the lines after it keep their numbers."""
    content = HEADERS.get(name, b"%s" % (LINES[name] % b"head")) + b"".join(
        LINES[name] % cell for cell in (b"before", damage, b"after")
    )
    items = read(tmp_path, name, content)[-3:]
    assert [item.line for item in items] == [2, 3, 4]
    assert [item.prompt for item in items if isinstance(item, Prompt)] == ["before", "after"]
    assert message in str(items[1])


@pytest.mark.parametrize("name", HEADERS)
def test_a_damaged_header_ends_the_reading(tmp_path: Path, name: str) -> None:
    """The first row is never taken for the header that could not be read."""
    [(line, _, message)] = problems(tmp_path, name, b"\xe9\xe8\xe7" + HEADERS[name] + LINES[name] % b"prompt")
    assert (line, message[:12]) == (1, "is not UTF-8")


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_every_unicode_encoding_is_read(tmp_path: Path, name: str, encoding: str) -> None:
    """A file that a spreadsheet or a shell of Windows saves as "Unicode" gives the same prompts."""
    text = (HEADERS.get(name, b"") + LINES[name] % b"a fox" + LINES[name] % b"an owl").decode()
    assert [row.prompt for row in good(tmp_path, name, text.encode(encoding))] == ["a fox", "an owl"]


def test_an_unclosed_cell_does_not_hide_a_damaged_line(tmp_path: Path) -> None:
    """Both problems are told at once."""
    found = problems(tmp_path, "m.csv", b'prompt,seed\n"a\nb\0\nc,1\n')
    assert [line for line, _, _ in found] == [3, 2]


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks_are_no_text(tmp_path: Path, name: str, line_end: bytes, mark: bytes) -> None:
    """A file from any editor gives the same prompts; the last line needs no end."""
    content = HEADERS.get(name, b"") + LINES[name] % "é".encode() + LINES[name] % "猫".encode()
    rows = good(tmp_path, name, mark + content.replace(b"\n", line_end).removesuffix(line_end))
    first = 2 if name in HEADERS else 1
    assert [(row.line, row.prompt) for row in rows] == [(first, "é"), (first + 1, "猫")]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    """Lines between rows may be left empty; their numbers still count."""
    for name, content in {
        "m.jsonl": '\n"a"\n \n"b"\n',
        "m.csv": "prompt\na\n\nb\n",
        "m.tsv": "prompt\na\n\nb\n",
        "m.txt": "\na\n \nb\n",
    }.items():
        assert [(row.line, row.prompt) for row in good(tmp_path, name, content)] == [(2, "a"), (4, "b")]


def test_cells_of_csv_may_hold_lines(tmp_path: Path) -> None:
    """A cell over several lines is one prompt, line ends kept, and the rows after it are on their own lines."""
    content = 'seed,prompt\r\n1,"a ""big""\r\ncat, asleep"\r\n2,b\r\n3\r\nx,d\r\n'
    items = read(tmp_path, "m.csv", content)
    assert [item.line for item in items] == [2, 4, 5, 6]
    assert isinstance(items[0], Prompt)
    assert items[0].prompt == 'a "big"\r\ncat, asleep'
    assert [str(item).split(": ")[1] for item in items[2:]] == ["prompt", "seed"]


def test_columns_without_a_name_do_not_clash(tmp_path: Path) -> None:
    """Spreadsheets write commas for columns that were never filled."""
    [row] = good(tmp_path, "m.csv", "prompt,seed,,\na,1,,\n")
    assert (row.prompt, row.seed) == ("a", 1)


def test_header_names_may_have_spaces_around_them(tmp_path: Path) -> None:
    """`prompt, seed` is the header that a person types."""
    [row] = good(tmp_path, "m.csv", "prompt , seed\na,1\n")
    assert (row.prompt, row.seed) == ("a", 1)


def test_quotes_in_tsv_are_text(tmp_path: Path) -> None:
    """PartiPrompts and its like are written without quoting: a quote opens nothing."""
    rows = good(tmp_path, "m.tsv", 'Prompt\tCategory\n"a cat\tAnimals\nthe word "START"\t"x"\n')
    assert [row.prompt for row in rows] == ['"a cat', 'the word "START"']
    assert rows[1].extra == {"Category": '"x"'}


def test_plain_text_is_one_prompt_a_line(tmp_path: Path) -> None:
    """Edge spaces, commas and braces are a part of the prompt."""
    rows = good(tmp_path, "m.txt", "  a, b \n{d}\nprompt\n")
    assert [row.prompt for row in rows] == ["  a, b ", "{d}", "prompt"]


def test_json_lists_hold_objects_and_texts(tmp_path: Path) -> None:
    """A list as `json.dump` writes it is read; each row knows the line that it begins on."""
    rows = good(tmp_path, "m.json", json.dumps(["a", {"prompt": "b", "seed": 1}], indent=2))
    assert [(row.line, row.prompt, row.seed) for row in rows] == [(2, "a", None), (3, "b", 1)]


def test_missing_numbers_of_other_languages_are_none(tmp_path: Path) -> None:
    """Python and R write NaN for a number that is not there."""
    [row] = good(tmp_path, "m.jsonl", '{"prompt": "a", "seed": NaN, "score": NaN, "nested": [NaN]}')
    assert (row.seed, row.extra) == (None, {"score": None, "nested": [None]})


def test_escaped_characters_beyond_the_basic_plane_are_read(tmp_path: Path) -> None:
    """Two halves of one character, as `json.dumps` writes it, are that character."""
    [row] = good(tmp_path, "m.jsonl", json.dumps({"prompt": "a 🦊 \\ud83d"}))
    assert row.prompt == "a 🦊 \\ud83d"


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda text: is_visible(text) and not is_lack(text)
)
ANY_TEXT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY_TEXT
@given(text=TEXTS)
def test_any_prompt_survives_json_lines(tmp_path: Path, text: str) -> None:
    """The record holds exactly the user's text, escaped or not."""
    content = "".join(json.dumps({"prompt": text}, ensure_ascii=ascii_only) + "\n" for ascii_only in (True, False))
    assert [row.prompt for row in good(tmp_path, "m.jsonl", content)] == [text, text]


@ANY_TEXT
@given(text=TEXTS)
def test_any_prompt_survives_yaml(tmp_path: Path, text: str) -> None:
    """The record holds exactly the user's text, in a row of columns and as a row of text."""
    # YAML 1.1 reads these as line breaks, and PyYAML does not escape them when it writes Unicode.
    breaks = {"\x85", "\u2028", "\u2029"}
    for allow_unicode in (True, False):
        if allow_unicode and breaks & set(text):
            continue
        content = yaml.safe_dump([{"prompt": text}, text], allow_unicode=allow_unicode)
        assert [row.prompt for row in good(tmp_path, "m.yaml", content)] == [text, text]


@ANY_TEXT
@given(text=TEXTS)
def test_any_prompt_survives_csv(tmp_path: Path, text: str) -> None:
    """The record holds exactly the user's text, line ends and quotes included."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["prompt", "note"], [text, "x"]])
    assert [row.prompt for row in good(tmp_path, "m.csv", written.getvalue())] == [text]


@ANY_TEXT
@given(text=TEXTS.filter(lambda text: not set(text) & set("\t\r\n")))
def test_any_line_survives_tsv_and_plain_text(tmp_path: Path, text: str) -> None:
    """The record holds exactly the user's text, edge spaces included."""
    assert [row.prompt for row in good(tmp_path, "m.tsv", f"prompt\tnote\n{text}\tx\n")] == [text]
    assert [row.prompt for row in good(tmp_path, "m.txt", f"{text}\n", ReadOptions(literal=True))] == [text]
