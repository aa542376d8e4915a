"""What holds in every view, in a real browser: no complaint, no code from texts, themes, phones, screen readers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome, Keys

from tasks.report.gallery.build import write_gallery
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.support.services.browser import PHONE_PX, open_page, prefer_theme, read_errors, resize, wait_for
from tests.tasks.report.gallery.batches import paint
from tests.tasks.report.gallery.conftest import HOSTILE, written
from tests.tasks.report.gallery.looking import (
    VIEWS,
    facts,
    find,
    images_loaded,
    press,
    prompts,
    texts,
)


@pytest.mark.parametrize("view", VIEWS)
def test_it_opens_from_the_file_system_without_a_complaint(view: str, browser: Chrome, matrix_page: Path) -> None:
    """Every view loads by itself: no error in the console, and nothing from anywhere but files."""
    open_page(browser, matrix_page, f"view={view}")
    if view != "failures":
        assert images_loaded(browser, "#content img")
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith("file:") for name in loaded)
    assert read_errors(browser) == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_text_is_never_code(view: str, browser: Chrome, hostile_page: Path) -> None:
    """A prompt, column, model, error or folder that is HTML or a script is shown as it stands, in every view."""
    open_page(browser, hostile_page, f"view={view}")
    assert find(browser, "h1").text == hostile_page.parent.name.strip()
    if view == "images":
        assert prompts(browser) == [HOSTILE] * 3
    if view in {"images", "failures"}:
        find(browser, "#content button.card").click()
        assert {facts(browser)[name] for name in ("prompt", "negative prompt", "model", HOSTILE)} == {HOSTILE}
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.querySelectorAll('img[onerror], b b, i').length") == 0
    assert read_errors(browser) == []


def test_markup_would_not_run_either(browser: Chrome, hostile_page: Path) -> None:
    """Were a text to become markup in spite of everything, the page's policy still lets it do nothing."""
    open_page(browser, hostile_page)
    browser.execute_script(
        "document.body.insertAdjacentHTML('beforeend', arguments[0])", "<img src=x onerror='window.hacked = 1'>"
    )
    browser.execute_script(
        "const s = document.createElement('div'); s.setAttribute('onclick', 'window.hacked = 1'); document.body.append(s); s.click()"
    )
    wait_for(browser, "return document.querySelector('body > img').complete")
    assert browser.execute_script("return window.hacked") is None
    assert any("Content Security Policy" in error for error in read_errors(browser))


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_batch_says_so(view: str, browser: Chrome, tmp_path: Path) -> None:
    """No rows is no error."""
    open_page(browser, written(tmp_path / "b"), f"view={view}")
    assert texts(browser, ".empty") == ["This batch has no jobs yet."]
    assert read_errors(browser) == []


def test_a_script_that_is_gone_is_told(browser: Chrome, tmp_path: Path) -> None:
    """A page whose rows were removed says what to do instead of nothing."""
    page = written(tmp_path / "b", (make_job(0), None))
    next((page.parent / "gallery/rows").iterdir()).unlink()
    browser.get(page.as_uri())
    message = wait_for(browser, "return document.querySelector('.empty')?.textContent.match(/is missing.*/)?.[0]")
    assert message == f"is missing. Write the page anew: imagen gallery {page.parent}"


@pytest.mark.parametrize(("system", "paper"), [("light", "rgb(247, 247, 245)"), ("dark", "rgb(19, 20, 23)")])
def test_the_theme_is_the_systems_until_the_switch(system: str, paper: str, browser: Chrome, matrix_page: Path) -> None:
    """Light and dark follow the system; the switch turns it over, plots too, and a reload keeps that."""
    prefer_theme(browser, system)
    open_page(browser, matrix_page, "view=summary")
    other = "dark" if system == "light" else "light"
    look = (
        "return [getComputedStyle(document.documentElement).backgroundColor, document.querySelector('.plot img').src]"
    )
    background, plot = browser.execute_script(look)
    assert (background, plot.endswith(f"-{system}.svg")) == (paper, True)
    find(browser, "button.theme").click()
    background, plot = browser.execute_script(look)
    assert (background != paper, plot.endswith(f"-{other}.svg")) == (True, True)
    browser.refresh()
    wait_for(browser, "return 'ready' in document.body.dataset")
    assert browser.execute_script(look) == [background, plot]
    assert find(browser, "button.theme").get_attribute("aria-pressed") == str(other == "dark").lower()
    browser.execute_script("localStorage.clear()")


@pytest.mark.parametrize("view", [*VIEWS, "compare", "detail"])
def test_a_phone_shows_it_without_scrolling_sideways(
    view: str, browser: Chrome, matrix_page: Path, comparison_page: Path
) -> None:
    """On a narrow screen nothing is wider than it, but a matrix, which scrolls within itself."""
    resize(browser, PHONE_PX)
    address = f"job={make_job(0).job_id}" if view == "detail" else f"view={view}"
    open_page(browser, comparison_page if view == "compare" else matrix_page, address)
    widths = "return ['html', '#top', '#content', 'dialog'].map((s) => document.querySelector(s)).map((e) => e.scrollWidth - e.clientWidth)"
    page, head, content, detail = browser.execute_script(widths)
    assert (page, head, detail) == (0, 0, 0)
    assert content == 0 or view == "matrix"


@pytest.mark.parametrize("view", [*VIEWS, "compare", "detail"])
def test_everything_has_a_name_and_a_role(view: str, browser: Chrome, matrix_page: Path, comparison_page: Path) -> None:
    """What can be pressed, filled in or read as a part of the page says what it is to a screen reader."""
    address = f"job={make_job(0).job_id}" if view == "detail" else f"view={view}"
    open_page(browser, comparison_page if view == "compare" else matrix_page, address)
    tree: dict[str, Any] = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})
    named = {
        "button",
        "link",
        "checkbox",
        "searchbox",
        "combobox",
        "grid",
        "dialog",
        "image",
        "navigation",
        "complementary",
    }
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree["nodes"] if not node["ignored"]
    ]
    assert {role for role, _ in found} & named
    assert [pair for pair in found if pair[0] in named and not pair[1].strip()] == []
    assert browser.execute_script("return document.documentElement.lang") == "en"


def test_odd_folder_names_are_found(browser: Chrome, tmp_path: Path) -> None:
    """Spaces, percent signs and hashes in a path are no part of an address."""
    out = tmp_path / "50% #1 done"
    page = written(out, (make_job(0), None))
    assert quote("50% #1 done") in page.as_uri()
    open_page(browser, page)
    assert images_loaded(browser, "#content img")


@pytest.mark.parametrize("width", [320, 360, 390, 430, 540, 640, 768, 1024])
def test_narrow_images_never_make_a_row_too_wide(width: int, browser: Chrome, tall_page: Path) -> None:
    """Portraits, panoramas and squares in one batch: no row is wider than its screen."""
    resize(browser, (width, 800))
    open_page(browser, tall_page)
    widths = "const c = document.getElementById('content'); return [c.scrollWidth - c.clientWidth, document.documentElement.scrollWidth - innerWidth]"
    assert browser.execute_script(widths) == [0, 0]


def test_the_summary_scrolls_by_keys(browser: Chrome, matrix_page: Path) -> None:
    """It has nothing to press, so the part that scrolls takes the focus."""
    resize(browser, (900, 300))
    open_page(browser, matrix_page, "view=summary")
    browser.execute_script("document.getElementById('content').focus()")
    assert find(browser, "#content").get_attribute("tabindex") == "0"
    press(browser, Keys.END)
    wait_for(browser, "return document.getElementById('content').scrollTop > 0")


def test_a_changed_file_is_shown_and_told(browser: Chrome, tmp_path: Path) -> None:
    """An image that was overwritten is seen as it is now, and stands among what went wrong."""
    out = tmp_path / "b"
    written(out, (make_job(0), None))
    paint(next((out / "images").rglob("*.png")), 7, size=(33, 44))
    open_page(browser, Path(asyncio.run(write_gallery(OutputFolder(out))).page), "view=failures")
    assert "changed" in texts(browser, ".failure-kind h2")[0]
    find(browser, "#content button.card").click()
    assert images_loaded(browser, ".stage img")
