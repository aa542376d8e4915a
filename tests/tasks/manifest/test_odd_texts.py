"""Prompts that other tools would not take as words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.manifest import Findings
from tasks.manifest.reading import build_read_options
from tests.tasks.manifest.reading import good


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a hare --ar 3:2", "--ar"),
        ("a hare ### Negative: fog", "negative prompt:"),
        ("a hare, negative prompt: fog", "negative prompt:"),
        ("a hare <lora:fur:0.6>", "<lora:...>"),
        ("a {grey|brown} hare", "{a|b}"),
        ("a hare in __place__", "__name__"),
        ("a hare &amp; an elk", "&amp;"),
        ('=CONCAT(A1, "a hare")', "formulas"),
        ("45292", "no letter"),
        ("una liebre \u00c3\u00bcber", "wrong encoding"),
        ("a hare\u00e2\u20ac\u2122s ear", "wrong encoding"),
    ],
)
def test_words_with_a_meaning_elsewhere_are_told(tmp_path: Path, text: str, told: str) -> None:
    """They are sent as they stand, which is told once with the lines, unless every line is to be taken literally."""
    findings = Findings()
    row = json.dumps({"prompt": text})
    assert [prompt.prompt for prompt in good(tmp_path, "m.jsonl", f"{row}\n{row}\n", None, findings)] == [text, text]
    [note] = findings.notes
    assert told in note
    assert "2 lines: 1, 2" in note
    literal = Findings()
    good(tmp_path, "m.jsonl", row, build_read_options({}, literal=True), literal)
    assert not literal.notes


@pytest.mark.parametrize(
    "text",
    [
        "a photo, double negative, R&B singer",
        "a set {a, b} of | bars",
        "(hare:1.2), [fog], @artist, #art -- 8k",
        "\u00c3o Paulo \u00e2ge, \u00f0 and \U0001f98a",
        "snake_case__name and a <b> tag",
    ],
)
def test_plain_words_are_not_told(tmp_path: Path, text: str) -> None:
    """Weights, dashes, hashes and foreign letters are words like any other."""
    findings = Findings()
    good(tmp_path, "m.jsonl", json.dumps({"prompt": text}), None, findings)
    assert not findings.notes
