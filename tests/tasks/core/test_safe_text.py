from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.safe_text import error_text, escape_control_characters, escape_lines, sanitize_text

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]))


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2Jgone",
        "\x1b]0;title\x07",
        "\x9b31m",
        "user\u202egnp.exe",
        "a\u2066b\u2069",
        "\u200b",
        "a\rb",
        "\x7f",
        "\ud83d",
    ],
)
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    """Escape and OSC sequences, direction marks and lone surrogates are shown as codes."""
    assert escape_control_characters(text).isprintable()
    assert escape_lines(f"{text}\nx").split("\n")[-1] == "x"


def test_plain_text_stays_as_it_is() -> None:
    """Words of any script are left alone."""
    assert escape_control_characters("狐 in snow, façade ß") == "狐 in snow, façade ß"


@given(ANY_TEXT)
def test_sanitized_text_is_stored(text: str) -> None:
    """SQLite (and PostgreSQL, which takes no NUL) stores whatever a provider wrote."""
    stored = sqlite3.connect(":memory:").execute("SELECT ?", (sanitize_text(text),)).fetchone()[0]
    assert "\0" not in stored


@given(ANY_TEXT)
def test_error_text_is_one_bounded_printable_line(text: str) -> None:
    """An error of any content fits into a table, a log and a terminal."""
    line = error_text(text, most_chars=50)
    assert line.isprintable()
    assert len(line) <= 50
