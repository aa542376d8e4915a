"""axe-core finds nothing on the page: every view, light and dark, on a desktop, a tablet and a phone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, Keys

from tests.support.services.browser import DESKTOP_PX, PHONE_PX, open_page, prefer_theme, resize
from tests.tasks.report.gallery.looking import VIEWS, press

AXE = Path(sys.prefix) / "axe.min.js"
"""`make soak` fetches it."""
TABLET_PX = (820, 1180)
SIZES = {"desktop": DESKTOP_PX, "tablet": TABLET_PX, "phone": PHONE_PX}
SCREENS = [(name, size, theme) for name, size in SIZES.items() for theme in ("light", "dark")]
OPENED = {"detail": Keys.ENTER, "side by side": "s"}
"""What opens a part of the page that is no view."""


@pytest.mark.soak  # axe looks at every element 42 times
@pytest.mark.skipif(not AXE.exists(), reason=f"NOT RUN: no {AXE} (`make soak` fetches it from npm where it can)")
@pytest.mark.parametrize("screen", SCREENS, ids=[f"{name} {theme}" for name, _, theme in SCREENS])
@pytest.mark.parametrize("view", [*VIEWS, *OPENED, "compare"])
def test_axe_finds_nothing(
    view: str, screen: tuple[str, tuple[int, int], str], browser: Chrome, matrix_page: Path, comparison_page: Path
) -> None:
    """Contrast, names, roles, landmarks, the way of the keyboard; with a verdict given, so that its marks are there."""
    _, size, theme = screen
    resize(browser, size)
    prefer_theme(browser, theme)
    open_page(browser, comparison_page if view == "compare" else matrix_page, f"view={view}" if view in VIEWS else "")
    browser.execute_script("localStorage.clear()")
    if view == "images" or view in OPENED:
        press(browser, Keys.ARROW_DOWN, "p", OPENED.get(view, "x"))
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = browser.execute_async_script(
        "axe.run(document, { resultTypes: ['violations'] }).then(arguments[0])"
    )
    browser.execute_script("localStorage.clear()")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
