"""What makes thousands of images fast to judge, in a real browser on a page from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains

from tests.support.factories import make_job
from tests.support.services.browser import PHONE_PX, open_page, read_errors, resize, wait_for
from tests.tasks.report.gallery.batches import paint, succeeded
from tests.tasks.report.gallery.conftest import written
from tests.tasks.report.gallery.looking import find, press, prompts, texts
from tests.tasks.report.review.test_page import READY, reviewing

ROWS, SAMPLES = 4, 3
SIZE = (1500, 1000)


@pytest.fixture(scope="session")
def sampled_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rows of three samples, each slower and dearer than the one before; larger than any stage."""
    out = tmp_path_factory.mktemp("sampled") / "sampled"
    endings: list[tuple[Any, dict[str, Any]]] = []
    for number in range(ROWS * SAMPLES):
        row, sample = divmod(number, SAMPLES)
        job = make_job(
            number, id=f"row-{row}", line=row + 1, sample=sample, prompt=f"prompt {row}", extra={"row": f"r{row}"}
        )
        ending = succeeded(out, job, number)
        file = out / ending["file_name"]
        large = {"sha256": paint(file, number, SIZE), "bytes": file.stat().st_size, "width": SIZE[0], "height": SIZE[1]}
        endings.append((job, {**ending, **large, "latency_ms": number, "cost_micros": number * 10}))
    return written(out, *endings)


@pytest.fixture
def page(browser: Chrome, sampled_page: Path) -> Chrome:
    """The page, with nothing judged."""
    open_page(browser, sampled_page)
    browser.execute_script("localStorage.clear()")
    open_page(browser, sampled_page)
    return browser


def shift(browser: Chrome, *keys: str) -> None:
    """Press keys with shift."""
    ActionChains(browser).key_down(Keys.SHIFT).send_keys(*keys).key_up(Keys.SHIFT).perform()


def tally(browser: Chrome) -> str:
    """The counts at the foot, after the next frame."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    return "".join(texts(browser, "#verdicts .tally"))


def test_a_stack_is_decided_by_one_key(page: Chrome) -> None:
    """One card a row; Enter shows its samples side by side; the best is picked, the others rejected, the next row follows."""
    find(page, ".stack").click()
    assert prompts(page) == [f"prompt {row}" for row in range(ROWS)]
    press(page, Keys.ARROW_DOWN, Keys.ENTER, Keys.ARROW_RIGHT, "b")
    assert tally(page) == "1 picked, 2 rejected"
    assert len(texts(page, ".survey-tile")) == SAMPLES
    press(page, "b", "b", "b")
    assert not find(page, "dialog.survey").is_displayed()
    assert tally(page) == "4 picked, 8 rejected"
    press(page, "u")
    assert tally(page) == "3 picked, 6 rejected"


def test_a_range_is_judged_at_once(page: Chrome) -> None:
    """Marked by shift and arrows; a verdict is for all of it, and one undo takes all of it back."""
    press(page, Keys.ARROW_DOWN)
    shift(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    press(page, "x")
    assert tally(page) == "0 picked, 3 rejected"
    press(page, "s")
    assert len(texts(page, ".survey-tile")) == 3
    press(page, Keys.ESCAPE, Keys.ESCAPE, "u")
    assert texts(page, "#content .is-marked") == []
    assert tally(page) == "0 picked, 0 rejected"


def test_the_zoom_stays_from_image_to_image(page: Chrome) -> None:
    """100 %, and the same place of the next image; its neighbours are in a strip below it."""
    # The image is laid out with the next frame, and again once its file is there.
    scale = """const [box] = document.querySelectorAll('.stage.lens'), drawn = box?.firstChild.style.transform.match(/scale\\((.*)\\)/);
        return drawn && box.classList.contains('zoomed') === arguments[0] && (drawn[1] === '1') === arguments[0]"""
    press(page, Keys.ARROW_DOWN, Keys.ENTER)
    wait_for(page, scale, False)
    press(page, "z", Keys.ARROW_RIGHT)
    wait_for(page, scale, True)
    assert len(texts(page, ".filmstrip .strip")) == ROWS * SAMPLES
    press(page, "z")
    wait_for(page, scale, False)


def test_neighbours_are_loaded_before_they_are_asked_for(browser: Chrome, sampled_page: Path) -> None:
    """The open image, the one before it and three after it; a page from a file has no list of requests, so a server has it."""
    with reviewing(sampled_page.parent) as (address, _):
        browser.get(f"{address}#job={make_job(4).job_id}")
        wait_for(browser, READY)
        loaded = "return performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.includes('/images/'))"
        wait_for(browser, f"return (() => {{ {loaded} }})().length === 5")
        names = {Path(name).stem for name in browser.execute_script(loaded)}
        assert names == {"3", "4", "5", "6", "7"}
        assert read_errors(browser) == []


def test_filters_are_chips_that_turn_round(page: Chrome) -> None:
    """A chosen value is a chip; turned round it is left out; a saved view brings it back."""
    find(page, "[data-facet='x.row'] [data-value='r1'] input").click()
    assert set(prompts(page)) == {"prompt 1"}
    find(page, ".chip.filter button").click()
    assert set(prompts(page)) == {"prompt 0", "prompt 2", "prompt 3"}
    find(page, ".menu summary").click()
    press(page, Keys.TAB)
    find(page, ".menu input").send_keys("no second", Keys.ENTER)
    find(page, ".chip.filter button:last-child").click()
    assert len(prompts(page)) == ROWS * SAMPLES
    find(page, ".menu summary").click()
    find(page, ".menu .view").click()
    wait_for(page, "return document.querySelector('.chip.filter.not') !== null")
    assert set(prompts(page)) == {"prompt 0", "prompt 2", "prompt 3"}


def test_images_are_sorted(page: Chrome) -> None:
    """By facts, or shuffled by a number that stands in the address."""
    seeds = "return [...document.querySelectorAll('#content .card')].map((card) => card.dataset.job)"
    jobs = [make_job(number).job_id for number in range(ROWS * SAMPLES)]
    for order in ("newest", "cost", "latency"):
        page.execute_script("Gallery.change({ sort: arguments[0] })", order)
        assert page.execute_script(seeds) == jobs[::-1], order
    page.execute_script("Gallery.change({ sort: 'random:7' })")
    shuffled = page.execute_script(seeds)
    assert sorted(shuffled) == sorted(jobs) != shuffled != jobs
    page.refresh()
    wait_for(page, "return 'ready' in document.body.dataset")
    assert page.execute_script(seeds) == shuffled


def test_plus_and_minus_change_the_size(page: Chrome) -> None:
    """Larger images stand in more rows."""
    width = "return document.querySelector('#content .card').offsetHeight"
    before = page.execute_script(width)
    press(page, "-", "-")
    assert page.execute_script(width) < before
    press(page, *"+++++")
    assert page.execute_script(width) > before


def test_a_phone_has_buttons_and_swipes(page: Chrome, sampled_page: Path) -> None:
    """A finger moves to the next image, and verdicts are buttons large enough for it."""
    resize(page, PHONE_PX)
    open_page(page, sampled_page, f"job={make_job(0).job_id}")
    script = """const box = document.querySelector('.stage.lens'), at = { pointerId: 1, pointerType: 'touch', isPrimary: true, button: 0, bubbles: true };
        box.setPointerCapture = () => {};
        for (const [type, clientX] of [['pointerdown', 300], ['pointermove', 200], ['pointerup', 100]])
          box.dispatchEvent(new PointerEvent(type, { ...at, clientX, clientY: 300 }));"""
    page.execute_script(script)
    assert texts(page, ".place") == [f"2 of {ROWS * SAMPLES}"]
    sizes = page.execute_script(
        "return [...document.querySelectorAll('.judging button')].map((b) => [b.offsetWidth, b.offsetHeight])"
    )
    assert min(min(size) for size in sizes) >= 44
    find(page, ".judging .pick").click()
    assert tally(page) == "1 picked, 0 rejected"
    assert texts(page, ".place") == [f"3 of {ROWS * SAMPLES}"]
    assert read_errors(page) == []
