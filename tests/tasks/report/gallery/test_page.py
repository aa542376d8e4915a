"""The page: what it may run, and what its own code never does."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from tasks.report.gallery.page import ASSETS, SCRIPTS, STYLES, encode_script_json, render_page

HOSTILE = "</script><script>alert(1)</script><!--\u2028\u2029&amp;'\"\ud800"


class Elements(HTMLParser):
    """The start tags of a page, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        """Read the whole page."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in {"script", "style"} and data.strip():
            self.texts.append((self.tags[-1][0], data))


@pytest.mark.parametrize("value", [HOSTILE, {HOSTILE: [HOSTILE]}, None, 2**53, 0.1])
def test_json_in_a_script_comes_back_and_cannot_leave_it(value: object) -> None:
    """Whatever a text holds, the script's end and comments cannot be spelled, and no line separator stands in it."""
    text = encode_script_json(value)
    assert json.loads(text) == value
    assert "<" not in text
    assert text.isascii()


def test_hostile_data_adds_no_element() -> None:
    """A page over hostile names has exactly the elements of a page over plain ones."""
    plain, hostile = Elements(render_page("a", {"name": "a"})), Elements(render_page(HOSTILE[:-1], {"name": HOSTILE}))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]


def test_the_policy_names_exactly_what_stands_in_the_page() -> None:
    """Each script and the style are allowed by their own hash, nothing by a place or in general."""
    page = Elements(render_page("a", {}))
    policy = next(tag["content"] or "" for _, tag in page.tags if tag.get("http-equiv") == "Content-Security-Policy")
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))
    data, *scripts = [text for tag, text in page.texts if tag == "script"]
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts]
    assert json.loads(data) == {}
    assert allowed["script-src"].split() == [*hashes, "'strict-dynamic'"]
    assert allowed["default-src"] == "'none'"
    assert "connect-src" not in allowed, "only the page of a review talks to a server"
    assert "unsafe" not in policy


def test_every_script_is_in_the_page() -> None:
    """No file of the assets is forgotten, none is named that is not there."""
    assert {path.name for path in ASSETS.iterdir()} == {*SCRIPTS, *STYLES, "page.html"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_never_turn_text_into_markup_or_code(name: str) -> None:
    """Text reaches the page as text only; nothing is fetched but a review's verdicts, from its own server."""
    text = (ASSETS / name).read_text(encoding="utf-8")
    forbidden = r"""innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|fetch\((?!"verdicts",|`verdicts\?since=)|XMLHttpRequest|https?:"""
    assert re.findall(forbidden, text) == []
    assert len(text.splitlines()) <= 250
