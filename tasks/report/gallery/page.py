"""The page itself: `assets/` put into one HTML file that may load nothing but what it names."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

ASSETS = files("tasks.report.gallery") / "assets"
STYLES = ("style.css", "detail.css", "judging.css", "screens.css")
SCRIPTS = (
    "base.js",
    "format.js",
    "state.js",
    "jobs.js",
    "batch.js",
    "searching.js",
    "score_facets.js",
    "filters.js",
    "matching.js",
    "groups.js",
    "order.js",
    "theme.js",
    "printing.js",
    "virtual_rows.js",
    "cards.js",
    "manifest_copy.js",
    "outbox.js",
    "verdicts.js",
    "review.js",
    "lens.js",
    "large_image.js",
    "facts.js",
    "actions.js",
    "filmstrip.js",
    "marks.js",
    "detail.js",
    "survey.js",
    "views.js",
    "toolbar.js",
    "sidebar.js",
    "grid_view.js",
    "matrix_view.js",
    "failures_view.js",
    "summary_view.js",
    "compare_view.js",
    "main.js",
)
"""In the order in which they run: each needs only what stands before it."""


@dataclass(frozen=True, slots=True)
class PageAssets:
    """The files of one kind of page; its template is `page.html`."""

    folder: Traversable
    styles: tuple[str, ...]
    scripts: tuple[str, ...]

    def read(self, name: str) -> str:
        """The text of one of them."""
        return (self.folder / name).read_text(encoding="utf-8")


GALLERY = PageAssets(ASSETS, STYLES, SCRIPTS)
POLICY = "default-src 'none'"
"""The policy of every page begins so."""
HEAD_BYTES = 500
"""The policy begins within them."""


def render_page(title: str, data: dict[str, Any], *, talks: bool = False, assets: PageAssets = GALLERY) -> str:
    """The whole page.

    Its policy lets exactly our own scripts and style run, and what those load; images may come from this page's own
    place and from files. So a text that became markup in spite of everything would still do nothing.

    Args:
        title: Of the window.
        data: Given to the scripts as `Gallery.page`.
        talks: The page may send requests to its own server.
        assets: What the page is made of.
    """
    style = "\n".join(map(assets.read, assets.styles))
    scripts = [assets.read(name) for name in assets.scripts]
    # A hash for each script and none for anything else, so that a text that became markup does nothing.
    policy = (
        POLICY,
        f"script-src {' '.join(_hash(script) for script in scripts)} 'strict-dynamic'",
        f"style-src {_hash(style)}",
        "img-src 'self' file:",
        *(["connect-src 'self'"] if talks else []),
        "base-uri 'none'",
        "form-action 'none'",
    )
    parts = {
        "policy": "; ".join(policy),
        "title": escape(title),
        "style": f"<style>{style}</style>",
        "data": f'<script type="application/json" id="page-data">{encode_script_json(data)}</script>',
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    # The template is filled by hand: a formatter would take the braces of the styles for its own.
    before, *rest = assets.read("page.html").split("{{")
    return before + "".join(parts[name] + text for name, text in (part.split("}}", 1) for part in rest))


def is_page(start: bytes) -> bool:
    """True for the first bytes of a page of ours, also of an earlier version."""
    return f'http-equiv="Content-Security-Policy" content="{POLICY};'.encode() in start[:HEAD_BYTES]


def encode_script_json(value: Any) -> str:
    """The value as JSON that may stand in an HTML `<script>` and in JavaScript.

    Everything beyond ASCII is escaped (U+2028 ends a line in old JavaScript, lone surrogates cannot be written), and
    so is `<`, without which neither `</script>` nor `<!--` can be spelled.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
