from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from tasks.core.records import Problem, Prompt
from tasks.manifest import Findings
from tasks.manifest.formats import yaml_nodes
from tests.tasks.manifest.reading import good, piped, problems, read

BAD_FILES = [
    ("- a\n- b: [\n- c\n", 3, None, "is not YAML (column 1: "),
    ("- a\n- %x\n", 2, None, "is not YAML (column 3: found character that cannot start any token)"),
    ("prompts:\n- a\n\tb: c\n", 3, None, "found a tab character"),
    ("- a\n- 'never closed\n", None, None, "is not YAML"),
    ("- a\n- b\x07\n", 2, None, "is not YAML (column 4: the character '\\x07' is not allowed"),
    ("- prompt: a\n  seed: 1\n  prompt: b\n", 3, None, "prompt: appears here a second time"),
    ("prompts:\n- a\ndefaults: {width: 64}\nprompts:\n- b\n", 4, None, "prompts: appears here a second time"),
    ("prompts:\n- a\ndefaults: {width: 64, width: 65}\n", 3, None, "width: appears here a second time"),
    ("# rows\nprompt:\n- a\n", 2, None, "prompt: is not known here; did you mean prompts?"),
    ("default:\n  width: 64\nprompts: [a]\n", 1, None, "default: is not known here; did you mean defaults?"),
    ("images:\n- a\n", 1, None, "images: is not known here; there are columns, defaults, template, matrix, prompts"),
    ("? [a, b]\n: c\n", 1, None, "?: is not known here"),
    ("- prompt: x\n  ? [a, b]\n  : c\n", 2, None, "found unhashable key"),
    ("- a\n- " + "[" * 5_000, 2, None, "is nested too deeply"),
    ("- prompt: x\n  note: 0x" + "f" * 5_000, 2, None, "holds a number of 5002 digits"),
    ("- prompt: x\n  note: {2024-01-01: a}\n", 2, "note", "cannot be carried along (keys must be str"),
    ("- prompt: x\n  backend_opts: {a: {1: b, c: d}}\n", 2, "backend_opts", "cannot be sent as JSON"),
    ('- a\n- prompt: x\n  note: !!int ""\n', 2, None, "holds a value that is not what its tag says"),
    ("- a\n- {prompt: x, note: !!timestamp soon}\n", 2, None, "holds a value that is not what its tag says"),
    ("- *nowhere\n", 1, None, "*nowhere: there is no such anchor before this line"),
    ("just a text\n", 1, None, "holds neither rows nor any of columns, defaults, template, matrix, prompts"),
    ("prompts: a cat\n", 1, "prompts", "is not a list of rows; begin each with a dash"),
    ("prompts:\n", 1, "prompts", "is not a list of rows"),
    ("prompts: [a]\ndefaults: 5\n", 2, None, "defaults: is not a set of named columns"),
    ("- a\n- 5\n", 2, None, "is neither a text nor a row"),
    ("- a\n-\n", 2, None, "is neither a text nor a row"),
    ("- a\n- [b]\n", 2, None, "is neither a text nor a row"),
    ("- a\n- 1: x\n", 2, None, "is neither a text nor a row"),
    ("- a cat: on a mat\n", 1, "prompt", '- "a cat: on a mat"'),
    ("- prompt: x\n  seed: 1\n  aspect_ratio: 1.78\n", 3, "aspect_ratio", "write it as 16:9 (in YAML in quotes)"),
    ("- prompt: x\n  backend_opts:\n    at: 2024-01-01\n", 2, "backend_opts", "cannot be sent as JSON"),
    ("- prompt: x\n  extra: !!python/object:os.system x\n", 2, None, "python/object:os.system"),
    ("- a\n---\n- b\n", 2, None, "a second document begins here"),
    ("prompts:\n- a\n---\nprompts:\n- b\n", 3, None, "a second document begins here"),
    ("prompts:\n- a\n- b\ndefaults:\n  seed: 1\n  width: 5\n", 6, "width", "5 is not a size"),
    ("- a\n- b\0\n", 2, None, "holds a NUL byte (byte 4 of the line)"),
]


@pytest.mark.parametrize(("content", "line", "column", "message"), BAD_FILES)
def test_what_is_wrong_is_placed(
    tmp_path: Path, content: str, line: int | None, column: str | None, message: str
) -> None:
    """Every problem of a YAML file says where it is, as exactly as the parser knows."""
    found = problems(tmp_path, "m.yaml", content)
    assert {place[1] for place in found} == {column}
    assert message in found[0][2]
    if line is not None:
        assert {place[0] for place in found} == {line}


def test_an_alias_bomb_is_not_unfolded(tmp_path: Path) -> None:
    """A few hundred bytes cannot take all memory."""
    names = "abcdefgh"
    lines = [f"- &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in pairwise(names)]
    found = problems(tmp_path, "m.yaml", "\n".join(["- &a [z, z, z, z, z, z, z, z, z, z]", *lines]))
    assert found[-1] == (5, None, "is too large for one row")


@pytest.mark.parametrize(("content", "encoding"), [("- é\n", "latin-1"), ("- żółw\n", "cp1250")])
def test_only_utf8_is_read(tmp_path: Path, content: str, encoding: str) -> None:
    """A file in another encoding is named, not misread."""
    [(line, _, message)] = problems(tmp_path, "m.yaml", content.encode(encoding))
    assert line == 1
    assert "UTF-8" in message


def test_a_bad_row_does_not_hide_the_others(tmp_path: Path) -> None:
    """All errors are reported at once."""
    items = read(tmp_path, "m.yaml", "- a\n- 5\n- prompt: b\n  seed: x\n- !!nothing c\n- d\n")
    assert [item.line for item in items] == [1, 2, 4, 5, 6]
    assert [isinstance(item, Problem) for item in items] == [False, True, True, True, False]


def test_rows_are_texts_or_columns(tmp_path: Path) -> None:
    """The list may mix both, and every row knows the line that it starts on."""
    content = (
        "# rows\n- a cat\n- prompt: >-\n    a long\n    dog\n  seed: 0x1f\n\n- {prompt: a bird, when: 2024-01-01}\n"
    )
    rows = good(tmp_path, "m.yaml", content)
    assert [(row.line, row.prompt, row.seed) for row in rows] == [
        (2, "a cat", None),
        (3, "a long dog", 31),
        (8, "a bird", None),
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_defaults_count_wherever_they_stand(tmp_path: Path, order: tuple[int, int]) -> None:
    """Defaults before and after the prompts mean the same, and a row's own cell wins."""
    parts = ("defaults: {seed: 1, steps: 4, campaign: spring}\n", "prompts:\n- a\n- {prompt: b, st: 9, campaign: x}\n")
    first, second = good(tmp_path, "m.yaml", "".join(parts[part] for part in order))
    assert (first.seed, first.steps, first.extra) == (1, 4, {"campaign": "spring"})
    assert (second.seed, second.steps, second.extra) == (1, 9, {"campaign": "x"})


def test_options_of_a_row_are_merged_into_the_defaults(tmp_path: Path) -> None:
    """A row changes one option and keeps the others."""
    content = "defaults:\n  backend_opts: {a: 1, b: 1}\nprompts:\n- x\n- prompt: y\n  backend_opts: {b: 2, c: 2}\n"
    first, second = good(tmp_path, "m.yaml", content)
    assert first.backend_opts == {"a": 1, "b": 1}
    assert second.backend_opts == {"a": 1, "b": 2, "c": 2}


@pytest.mark.parametrize(
    ("defaults", "row", "size"),
    [
        ("width: 64, height: 96", "aspect_ratio: '1:1'", (None, None, "1:1")),
        ("aspect_ratio: '1:1'", "width: 64, height: 96", (64, 96, None)),
        ("width: 64, height: 96", "width: 32", (32, 96, None)),
        ("aspect_ratio: '2:1'", "width: 64", (64, None, "2:1")),
    ],
)
def test_one_way_to_say_the_size_replaces_the_other(
    tmp_path: Path, defaults: str, row: str, size: tuple[Any, ...]
) -> None:
    """A row's own size never contradicts the default one."""
    [prompt] = good(tmp_path, "m.yaml", f"defaults: {{{defaults}}}\nprompts:\n- {{prompt: x, {row}}}\n")
    assert (prompt.width, prompt.height, prompt.aspect_ratio) == size


def test_plain_prompts_are_never_expanded(tmp_path: Path) -> None:
    """Braces in a prompt, in `defaults` or in a list are the user's own text."""
    content = "matrix: {a: [1, 2]}\ntemplate: {prompt: 'T{a}'}\ndefaults: {note: '{a}'}\nprompts:\n- '{a} {{b}} {'\n"
    rows = good(tmp_path, "m.yaml", content)
    assert [row.prompt for row in rows] == ["T1", "T2", "{a} {{b}} {"]
    assert {row.extra["note"] for row in rows} == {"{a}"}


def test_the_last_key_of_a_matrix_is_the_fastest(tmp_path: Path) -> None:
    """The order of a template's rows is the one that reading it suggests."""
    content = "template:\n  prompt: '{z} {a} {m}'\nmatrix:\n  z: [x, y]\n  a: [1, 2]\n  m: [p, q, r]\n"
    rows = good(tmp_path, "m.yaml", content)
    expected = [" ".join(values) for values in product("xy", "12", "pqr")]
    assert [row.prompt for row in rows] == expected
    assert rows[1].extra == {"z": "x", "a": 1, "m": "q"}
    assert {row.line for row in rows} == {2}


def test_templates_and_prompts_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    """The metadata lists the pictures as the manifest does."""
    content = (
        "prompts: [first]\ntemplate:\n- prompt: 'T{a}'\n  matrix: {a: [1]}\n- prompt: 'U{b}'\n  matrix: {b: [2, 3]}\n"
    )
    assert [row.prompt for row in good(tmp_path, "m.yaml", content)] == ["first", "T1", "U2", "U3"]


def test_a_lone_placeholder_keeps_the_type(tmp_path: Path) -> None:
    """`{key}` alone is the value itself, anywhere in the template; in a text it is written out."""
    content = (
        "template:\n  prompt: 'at {n} and {f}'\n  seed: '{n}'\n  note: '{yes}'\n"
        "  backend_opts: {scale: '{f}', list: ['{n}', 'x{n}'], fixed: 3}\n"
        "matrix: {n: [5], f: [1.5], 'yes': [true]}\n"
    )
    [row] = good(tmp_path, "m.yaml", content)
    assert (row.prompt, row.seed, row.extra["note"]) == ("at 5 and 1.5", 5, True)
    assert row.backend_opts == {"scale": 1.5, "list": [5, "x5"], "fixed": 3}


def test_a_matrix_key_may_be_a_column(tmp_path: Path) -> None:
    """Sizes and seeds can be varied without a placeholder."""
    rows = good(tmp_path, "m.yaml", "template: {prompt: x}\nmatrix: {width: [64, 128], se: [1, 2]}\n")
    assert [(row.width, row.seed) for row in rows] == [(64, 1), (64, 2), (128, 1), (128, 2)]
    assert [row.extra for row in rows] == [{}] * 4


def test_doubled_braces_are_braces(tmp_path: Path) -> None:
    """A template can hold the braces that some models read."""
    [row] = good(tmp_path, "m.yaml", "template: {prompt: '{{red}} {a}'}\nmatrix: {a: [cat]}\n")
    assert row.prompt == "{red} cat"


@pytest.mark.parametrize(
    ("template", "matrix", "message"),
    [
        ("{prompt: '{animl}'}", "{animal: [cat]}", "{animl} has no values in the matrix"),
        ("{prompt: '{}'}", "{animal: [cat]}", "{} has no values in the matrix"),
        ("{prompt: '{a.b}'}", "{a: [cat]}", "{a.b} has no values in the matrix"),
        ("{prompt: 'a cat'}", "{style: [ink]}", "style of the matrix is not used; write {style} in the template"),
        ("{prompt: '{a}'}", "{a: []}", "a of the matrix needs a list of values"),
        ("{prompt: '{a}'}", "{a: cat}", "a of the matrix needs a list of values"),
        ("{prompt: '{a}'}", "{a: [[cat]]}", "a of the matrix holds ['cat']; its values are texts or numbers"),
        ("{prompt: '{a}'}", "{a: [cat, null]}", "a of the matrix holds None"),
        ("{prompt: '{a}'}", "{a: [{b: c}]}", "its values are texts or numbers"),
        ("{prompt: '{a:1.2}'}", "{a: [cat]}", "{a} stands with a format in '{a:1.2}'; only {a} itself is filled in"),
        ("{prompt: '{a!r}'}", "{a: [cat]}", "{a} stands with a format"),
        ("{prompt: 'open {'}", "{width: [64]}", "has a single brace; write {{ and }} for plain braces"),
        ("{prompt: x, matrix: [a]}", "{width: [64]}", "the matrix is not a set of named lists"),
        (
            "{prompt: '{a}{b}{c}{d}'}",
            f"{{{', '.join(f'{key}: {list(range(100))}' for key in 'abcd')}}}",
            "the matrix has 100,000,000 combinations; at most 10,000,000 are made",
        ),
    ],
)
def test_a_template_that_cannot_be_expanded_is_a_problem(
    tmp_path: Path, template: str, matrix: str, message: str
) -> None:
    """A slip in a grammar is told once, before it is multiplied."""
    content = f"prompts: [a]\ntemplate: {template}\nmatrix: {matrix}\n"
    [(line, column, text)] = problems(tmp_path, "m.yaml", content)
    assert (line, column) == (2, "template")
    assert message in text


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("prompts: [a]\nmatrix: {a: [1]}\n", 2, "matrix: there is no template for it"),
        ("template: {prompt: x}\nmatrix: [1]\n", 2, "matrix: is not a set of named lists"),
        ("prompts: [a]\ntemplate: a cat\n", 2, "template: is not a set of named columns"),
    ],
)
def test_a_misshapen_grammar_is_a_problem(tmp_path: Path, content: str, line: int, message: str) -> None:
    """Template and matrix belong together and have the shapes that the documentation shows."""
    [(found, _, text)] = problems(tmp_path, "m.yaml", content)
    assert found == line
    assert message in text


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    """YAML's own way of not repeating oneself is there, across rows, defaults and matrices."""
    content = (
        "defaults: &base {seed: 3, steps: 2}\nprompts:\n- &first {prompt: x, width: 64}\n- {<<: *first, prompt: y}\n"
        "- {<<: [*first, *base], width: 32}\ntemplate:\n- prompt: '{a}'\n  matrix: {a: &list [p, q]}\n"
        "- prompt: '{b}'\n  matrix: {b: *list}\n"
    )
    rows = good(tmp_path, "m.yaml", content)
    assert [(row.prompt, row.width) for row in rows] == [
        ("x", 64),
        ("y", 64),
        ("x", 32),
        ("p", None),
        ("q", None),
        ("p", None),
        ("q", None),
    ]
    assert {(row.seed, row.steps) for row in rows} == {(3, 2)}


def test_many_aliases_of_small_rows_are_no_bomb(tmp_path: Path) -> None:
    """The limit on aliases is for one row, not for the file."""
    rows = good(tmp_path, "m.yaml", "- &a {prompt: x, tags: [1, 2, 3]}\n" + "- *a\n" * 15_000)
    assert len(rows) == 15_001


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "[]\n", "prompts: []\n", "defaults: {width: 64}\n"])
def test_a_file_without_rows_gives_none(tmp_path: Path, content: str) -> None:
    """Whether nothing is enough is not for the reader to say."""
    assert [item for item in read(tmp_path, "m.yaml", content) if isinstance(item, Prompt)] == []


@pytest.mark.parametrize(
    "head",
    ["- ", "-\n  ", "---\n- ", "%YAML 1.1\n---\n- ", "# a comment\n\n- ", "prompts:\n- ", "'prompts' :\n- "],
)
def test_yaml_on_standard_input_is_known(head: str) -> None:
    """A piped YAML manifest is not taken for lines of text, each of which would be paid for."""
    kind, items = piped(f"{head}prompt: a cat\n".encode())
    assert kind == "yaml"
    assert [item.prompt for item in items if isinstance(item, Prompt)] == ["a cat"]


def test_two_passes_are_equal(tmp_path: Path) -> None:
    """A manifest is planned twice: for its check, then for the ledger."""
    content = "prompts: [a, {prompt: b, seed: x}]\ntemplate: {prompt: '{m}'}\nmatrix: {m: [1, d]}\n"
    assert read(tmp_path, "m.yaml", content) == read(tmp_path, "m.yaml", content)


def test_texts_keep_what_is_written(tmp_path: Path) -> None:
    """YAML 1.1 takes 0010 for eight, 1:30 for ninety and 1.10 for 1.1; a manifest does not."""
    content = (
        "- {id: 0010, prompt: 007}\n- {id: 1:30, prompt: yes, aspect_ratio: 16:9}\n"
        "- {id: 1.10, prompt: 2026-11-24, seed: 0019}\n- {id: 2026-11-24, prompt: x, seed: 0o17, note: 1:30}\n"
    )
    items = read(tmp_path, "m.yaml", content)
    rows = [item for item in items if isinstance(item, Prompt)]
    assert [row.id for row in rows] == ["0010", "1:30", "1.10"]
    assert [row.prompt for row in rows] == ["007", "yes", "2026-11-24"]
    assert (rows[1].aspect_ratio, rows[2].seed) == ("16:9", 19)
    assert [(item.line, item.column) for item in items if isinstance(item, Problem)] == [(4, "seed")]


@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        ("- a fox, style: ink\n", '- "a fox, style: ink"'),
        ("- {red|blue} fox\n", '- "{red|blue} fox"'),
        ("- [best], fox\n", '- "[best], fox"'),
        ("- prompt: a fox: in snow\n", '- prompt: "a fox: in snow"'),
        ("prompts:\n- prompt: x\n- @fox\n", '- "@fox"'),
        ("- a fox #1 of 2\n", '"a fox #1 of 2"'),
    ],
)
def test_a_text_that_needs_quotes_is_shown_with_them(tmp_path: Path, content: str, quoted: str) -> None:
    """The message has the line as it can be pasted."""
    found = problems(tmp_path, "m.yaml", content)
    assert any(quoted in message for _, _, message in found)
    assert {line for line, _, _ in found} == {content.rstrip("\n").count("\n") + 1}


def test_a_comment_behind_a_text_is_told(tmp_path: Path) -> None:
    """It may be a comment, or the rest of the prompt: the lines are named once for the file."""
    findings = Findings()
    rows = good(tmp_path, "m.yaml", '- a fox # first\n- "b # c"\n- prompt: d # e\n  seed: 1 # f\n', None, findings)
    assert [row.prompt for row in rows] == ["a fox", "b # c", "d"]
    [note] = findings.notes
    assert "2 lines: 1, 3" in note


def test_aliases_of_a_file_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that repeat a large one without end are a problem, though each alone is small enough."""
    monkeypatch.setattr(yaml_nodes, "MOST_ALIASED_NODES", 5_000)
    content = "- &a {prompt: x, tags: [" + ", ".join(["1"] * 100) + "]}\n" + "- *a\n" * 100
    [(line, _, message)] = problems(tmp_path, "m.yaml", content)
    assert (line, "aliases" in message) == (49, True)


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        ("- > a hare", '- "> a hare"'),
        ("- | a hare", '- "| a hare"'),
        ("- !wow a hare", '- "!wow a hare"'),
        ("- &hare in grass", '- "&hare in grass"'),
        ("- =", '- "="'),
        ('- "a hare" in grass', '- "\\"a hare\\" in grass"'),
        ("- 'a hare's ear'", "- \"'a hare's ear'\""),
        ("- prompt: 'a hare's ear'", "- prompt: \"'a hare's ear'\""),
    ],
)
def test_a_text_that_begins_with_a_sign_is_shown_in_quotes(tmp_path: Path, line: str, quoted: str) -> None:
    """Signs of YAML's own change or break a text; the message shows the line as it can be pasted, and that is read."""
    assert any(message.endswith(f": {quoted}") for _, _, message in problems(tmp_path, "m.yaml", f"{line}\n"))
    [prompt] = good(tmp_path, "m.yaml", f"{quoted}\n")
    assert prompt.prompt in {line.removeprefix("- "), line.removeprefix("- prompt: ")}


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("prompt: a hare\nseed: 3\n", "A row begins with a dash, as - prompt:"),
        ("hare: a hare in grass\n", "a row begins with a dash"),
        ("-a hare\n-an elk\n", "a dash and a space"),
        ("- a hare\n---\n- an elk\n", "Delete this line"),
        ("- prompt: a hare\n\tseed: 3\n", "with spaces, not with tabs"),
        ("prompts:\n\t- a hare\n", "with spaces, not with tabs"),
        ('- "\\ud83e\\udd8a hare"\n', "write the character itself"),
    ],
)
def test_a_usual_mistake_in_yaml_has_its_remedy(tmp_path: Path, content: str, remedy: str) -> None:
    """Who forgot a dash, used a tab or put two files together is told what to write."""
    assert any(remedy in message for _, _, message in problems(tmp_path, "m.yaml", content))


def test_anchors_have_a_place_of_their_own(tmp_path: Path) -> None:
    """What stands under x-... is only for anchors, and an anchor that is repeated is no text."""
    content = "x-base: &base\n  seed: 4\nprompts:\n- &h a hare\n- *h\n- prompt: an elk\n  <<: *base\n"
    assert [(row.prompt, row.seed) for row in good(tmp_path, "m.yaml", content)] == [
        ("a hare", None),
        ("a hare", None),
        ("an elk", 4),
    ]
