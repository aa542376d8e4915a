"""The other views in a real browser: matrix, failures, and two batches side by side."""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from tasks.core.records import JobState
from tests.support.factories import make_job
from tests.support.services.browser import open_page, read_errors, wait_for
from tests.tasks.report.gallery.conftest import ANIMALS, LIGHTS, written
from tests.tasks.report.gallery.looking import (
    facts,
    find,
    press,
    prompts,
    texts,
)


def test_a_matrix_has_rows_and_columns_by_two_keys(browser: Chrome, matrix_page: Path) -> None:
    """The manifest's own columns, exchangeable; each cell holds the image of its combination, and opens it."""
    open_page(browser, matrix_page, "view=matrix")
    assert texts(browser, "[role=rowheader]") == list(ANIMALS)
    assert texts(browser, ".matrix [role=columnheader]")[1:] == list(LIGHTS)
    cards = browser.find_elements(By.CSS_SELECTOR, ".matrix button.card")
    assert [card.accessible_name for card in cards] == [
        f"a {animal} at {light}" for animal in ANIMALS for light in LIGHTS
    ]
    cards[0].send_keys(Keys.ARROW_DOWN, "")
    press(browser, Keys.ARROW_RIGHT, Keys.ENTER)
    assert facts(browser)["prompt"] == "a owl at dusk"
    press(browser, Keys.ESCAPE)
    find(browser, "label select").find_element(By.CSS_SELECTOR, "option[value='x.light']").click()
    assert texts(browser, "[role=rowheader]") == list(LIGHTS)
    assert texts(browser, ".matrix [role=columnheader]")[1:] == list(ANIMALS)


def test_a_choice_right_after_closing_stays(browser: Chrome, matrix_page: Path) -> None:
    """The browser goes back to the address before the image some moments later, and undoes nothing."""
    open_page(browser, matrix_page, "view=matrix")
    find(browser, ".matrix button.card").click()
    assert facts(browser)["prompt"] == "a fox at dawn"
    browser.execute_script("""
        window.wentBack = false;
        window.addEventListener("popstate", () => { window.wentBack = true; });
        Gallery.leave({ job: "" });
        Gallery.change({ rows: "x.light" });
    """)
    wait_for(browser, "return window.wentBack && location.hash.includes('rows=x.light')")
    assert texts(browser, "[role=rowheader]") == list(LIGHTS)
    assert find(browser, "dialog.detail").get_attribute("open") is None


def test_a_cell_of_many_shows_some_and_leads_to_all(browser: Chrome, tmp_path: Path) -> None:
    """Images that differ in a third key share a cell; a button shows all of them in the grid."""
    jobs = [make_job(n, prompt=f"p{n}", extra={"a": n % 2, "b": n // 2 % 2, "c": f"c{n // 4}"}) for n in range(24)]
    open_page(browser, written(tmp_path / "b", *((job, None) for job in jobs)), "view=matrix&rows=x.a&columns=x.b")
    assert texts(browser, ".more") == ["+2"] * 4
    find(browser, ".more").click()
    assert prompts(browser) == [f"p{n}" for n in range(0, 24, 4)]


def test_failures_are_shown_by_kind_with_reasons(browser: Chrome, matrix_page: Path) -> None:
    """Each failed job with its reason, and how to try it again."""
    open_page(browser, matrix_page, "view=failures")
    assert texts(browser, ".failure-kind h2") == ["moderation 1", "timeout 1"]
    assert texts(browser, ".failure .reason") == ["flagged as sensitive", "no answer in 60 s"]
    assert f"imagen resume {matrix_page.parent} --retry-failed" in texts(browser, ".failure-kind p")[0]
    assert texts(browser, "button[data-view=failures]") == ["Failures2"]


def test_missing_images_and_held_jobs_are_failures(browser: Chrome, tmp_path: Path) -> None:
    """A file that is gone, and a job that may have been paid for, are not shown as fine."""
    held = {"state": JobState.HELD, "error_kind": "ambiguous", "error_message": "it cannot be found", "attempts": 1}
    out = tmp_path / "b"
    written(out, (make_job(0), None), (make_job(1), held))
    next((out / "images").rglob("*.png")).unlink()
    open_page(browser, written(out), "view=failures")
    assert sorted(texts(browser, ".failure .reason")) == ["it cannot be found", "the file is missing"]
    assert any("--retry-held" in text for text in texts(browser, ".failure-kind p"))


def test_a_comparison_pairs_by_row(browser: Chrome, comparison_page: Path) -> None:
    """By id, else by what the row says; what only one has stands alone; what differs is marked."""
    open_page(browser, comparison_page)
    found = [
        [half.text for half in pair.find_elements(By.CSS_SELECTOR, ".half .meta")]
        for pair in browser.find_elements(By.CSS_SELECTOR, ".card.pair")
    ]
    assert prompts(browser) == [f"a {animal} at {light}" for animal in ANIMALS for light in LIGHTS] + [
        "no id",
        "left",
        "right",
    ]
    assert [[bool(text) for text in pair] for pair in found] == [[True, True]] * 7 + [[True, False], [False, True]]
    chips = [text.strip() for text in texts(browser, ".chip")]
    assert chips == [
        "All 9",
        "In both 7",
        "Another state 1",
        "Another image 2",
        "Only in the first 1",
        "Only in the second 1",
    ]
    find(browser, ".chip:nth-child(3)").click()
    assert prompts(browser) == ["a fox at dawn"]
    press(browser, "/", Keys.ARROW_DOWN, Keys.ENTER)
    wait_for(browser, "return !document.querySelector('.facts[aria-busy]')")
    marked = set(texts(browser, ".differs th"))
    assert {"status", "model", "seed", "reason"} <= marked
    assert not {"prompt", "animal", "id", "job_id"} & marked
    assert texts(browser, "figcaption") == ["one", "two"]
    assert read_errors(browser) == []


def test_the_page_follows_a_run(browser: Chrome, tmp_path: Path) -> None:
    """Written again, the page shows what has come since."""
    out = tmp_path / "b"
    open_page(browser, written(out, (make_job(0), None), (make_job(1), {})))
    assert texts(browser, ".note") == ["to do"]
    open_page(browser, written(out, (make_job(0), None), (make_job(1), None)))
    assert texts(browser, ".note") == []
