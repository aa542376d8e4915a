"""A gallery on paper, on a screen too low for head and images, and beside another one of its name, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys

from tests.support.factories import make_job
from tests.support.services.browser import open_page, read_errors, resize, wait_for
from tests.tasks.report.gallery.conftest import written
from tests.tasks.report.gallery.looking import press, texts

ROWS = "return document.querySelectorAll('#content .virtual-row').length"
ZOOMED_PX = (320, 256)
"""A screen of 1280 by 1024 at 400 %."""


def forget(browser: Chrome, page: Path) -> None:
    """Clear what pages from files keep in this browser, which other tests use too."""
    open_page(browser, page)
    browser.execute_script("localStorage.clear()")


def test_paper_has_more_than_the_screen(browser: Chrome, large_page: Path) -> None:
    """Rows out of sight are printed too, to a bound that the paper tells; afterwards the list is as it was."""
    open_page(browser, large_page)
    before = browser.execute_script(ROWS)
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(ROWS) == 200 > before
    [note] = texts(browser, ".printed")
    assert note.startswith("The first 200 of ")
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(ROWS) == before
    assert read_errors(browser) == []


@pytest.mark.parametrize("size", [ZOOMED_PX, (844, 390)], ids=["400 %", "phone on its side"])
def test_a_low_screen_scrolls_to_its_images(size: tuple[int, int], browser: Chrome, matrix_page: Path) -> None:
    """Head, filters and foot leave the images most of the screen once a card has the focus, and cover nothing."""
    resize(browser, size)
    forget(browser, matrix_page)
    open_page(browser, matrix_page)
    press(browser, Keys.ARROW_DOWN, "p")
    wait_for(browser, "return document.querySelector('#content .is-picked')")
    room = (
        "const all = ['top', 'content', 'verdicts'].map((id) => document.getElementById(id).getBoundingClientRect());"
    )
    top, high, foot = browser.execute_script(
        f"{room} return [all[1].top - all[0].bottom, all[1].height, all[2].bottom]"
    )
    assert top >= -1
    assert high > size[1] / 2
    assert foot <= size[1] + 1
    forget(browser, matrix_page)


def test_folders_of_one_name_keep_their_own_picks(
    browser: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches of one manifest, both written as `out`: a pick in one is none in the other."""
    pages = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        pages.append(written(Path("out"), (make_job(0), None)).resolve())
    forget(browser, pages[0])
    open_page(browser, pages[0])
    press(browser, Keys.ARROW_DOWN, "p")
    wait_for(browser, "return document.querySelector('#content .is-picked')")
    open_page(browser, pages[1])
    assert texts(browser, ".badge") == []
    open_page(browser, pages[0])
    assert len(texts(browser, ".badge")) == 1
    forget(browser, pages[0])
