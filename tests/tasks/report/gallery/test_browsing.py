"""Looking through a batch in a real browser, with keys and clicks: search, filters, the detail, many images."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tasks.report.gallery.manifest_rows import build_manifest_lines
from tests.support.factories import make_job
from tests.support.services.browser import PHONE_PX, open_page, resize, wait_for
from tests.tasks.report.gallery.conftest import HOSTILE, MANY, written
from tests.tasks.report.gallery.looking import (
    TIMES,
    choose,
    facts,
    find,
    focused,
    images_loaded,
    press,
    prompts,
    texts,
)

MOST_NODES = 1_500


def test_the_grid_shows_every_job_with_its_facts(browser: Chrome, matrix_page: Path) -> None:
    """Prompt, seed, size, model and cost; without an image, why."""
    open_page(browser, matrix_page)
    assert prompts(browser)[0] == "a fox at dawn"
    assert len(prompts(browser)) == 9
    assert texts(browser, ".card .meta")[0] == f"seed {make_job(0).seed} · 96{TIMES}64 · sketch · $0.003"
    assert texts(browser, ".card .note") == ["moderationflagged as sensitive", "timeoutno answer in 60 s", "to do"]


def test_search_finds_words_of_the_prompt_and_more(browser: Chrome, matrix_page: Path) -> None:
    """All words must be there, in any order and case; an id, a seed or an error is found too; Escape clears."""
    open_page(browser, matrix_page)
    press(browser, "/", "DUSK fox")
    assert prompts(browser) == ["a fox at dusk"]
    assert texts(browser, ".counted") == ["1 of 9"]
    press(browser, Keys.ESCAPE)
    assert len(prompts(browser)) == 9
    for text, expected in (("row-11", "a calm"), (str(make_job(2).seed), "a fox at night"), ("sensitive", "a storm")):
        find(browser, "input[type=search]").clear()
        find(browser, "input[type=search]").send_keys(text)
        assert prompts(browser) == [expected]
    find(browser, "input[type=search]").send_keys(" no such thing")
    assert texts(browser, ".empty") == ["No image is like that. Clear a filter, or the search."]


def test_filters_narrow_and_count(browser: Chrome, matrix_page: Path) -> None:
    """Values of one facet add, facets narrow each other, and each value tells how many it would leave."""
    open_page(browser, matrix_page)
    assert texts(browser, "legend") == ["State", "Error", "Backend", "Model", "animal", "light"]
    choose(browser, "x.animal", "owl")
    assert prompts(browser) == ["a owl at dawn", "a owl at dusk", "a owl at night"]
    assert texts(browser, "[data-facet='x.light'] label") == ["dawn1", "dusk1", "night1"]
    assert texts(browser, "[data-facet='x.animal'] label") == ["fox3", "owl3"]
    choose(browser, "x.light", "dusk")
    choose(browser, "x.light", "night")
    assert prompts(browser) == ["a owl at dusk", "a owl at night"]
    find(browser, "#sidebar .clear").click()
    for facet, value, expected in (
        ("state", "planned", "a breeze"),
        ("error", "timeout", "a calm"),
        ("backend", "second", "a calm"),
        ("model", "other", "a calm"),
    ):
        choose(browser, facet, value)
        assert prompts(browser) == [expected]
        choose(browser, facet, value)


def test_a_reload_brings_everything_back(browser: Chrome, matrix_page: Path) -> None:
    """What was chosen stands in the address, the open image too."""
    open_page(browser, matrix_page)
    choose(browser, "x.animal", "owl")
    press(browser, "/", "night", Keys.ARROW_DOWN, Keys.ENTER)
    assert facts(browser)["prompt"] == "a owl at night"
    browser.refresh()
    wait_for(browser, "return 'ready' in document.body.dataset")
    assert prompts(browser) == ["a owl at night"]
    assert facts(browser)["prompt"] == "a owl at night"


def test_the_keyboard_is_enough(browser: Chrome, matrix_page: Path) -> None:
    """Arrows go from card to card, Enter opens, arrows step through the images, Escape gives the focus back."""
    open_page(browser, matrix_page)
    press(browser, Keys.ARROW_DOWN)
    assert "a fox at dawn" in focused(browser)
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert "a fox at dusk" in focused(browser)
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    press(browser, Keys.ARROW_DOWN)
    below = focused(browser)
    press(browser, Keys.ARROW_UP)
    assert "a fox at dusk" in focused(browser) != below
    press(browser, Keys.ENTER)
    assert facts(browser)["prompt"] == "a fox at dusk"
    assert images_loaded(browser, ".stage img")
    press(browser, Keys.ARROW_RIGHT)
    assert facts(browser)["prompt"] == "a fox at night"
    press(browser, Keys.ESCAPE)
    assert not find(browser, "dialog").is_displayed()
    # The browser tells of the closing a moment later.
    wait_for(browser, "return document.activeElement.textContent.includes('a fox at night')")
    press(browser, Keys.END)
    assert "a breeze" in focused(browser)
    press(browser, Keys.HOME)
    assert "a fox at dawn" in focused(browser)


@pytest.mark.soak
def test_another_width_keeps_the_place(browser: Chrome, large_page: Path) -> None:
    """A window that is made narrower, or a phone that is turned, leaves the focus on the image it was on."""
    open_page(browser, large_page)
    press(browser, Keys.ARROW_DOWN, *[Keys.ARROW_DOWN] * 20)
    before, columns = focused(browser), len(browser.find_elements(By.CSS_SELECTOR, "[data-row='20'] .card"))
    resize(browser, PHONE_PX)
    wait_for(browser, "return document.querySelector('.virtual-row').children.length < arguments[0]", columns)
    assert focused(browser) == before


def test_the_detail_tells_all(browser: Chrome, matrix_page: Path) -> None:
    """Every parameter that the job has, with the manifest's own columns."""
    open_page(browser, matrix_page, f"job={make_job(1).job_id}")
    found = facts(browser)
    expected = {
        "status": "succeeded",
        "id": "fox-dusk",
        "animal": "fox",
        "light": "dusk",
        "seed": f"{make_job(1).seed} (derived from the row)",
        "size": f"96{TIMES}64",
        "size asked for": f"32{TIMES}32",
        "cost": "$0.003",
        "latency": "0.10 s",
        "job_id": make_job(1).job_id,
        "manifest line": "2",
    }
    assert {name: found[name] for name in expected} == expected
    assert find(browser, ".actions a.open").get_attribute("href") == (matrix_page.parent / found["file"]).as_uri()


def copied(browser: Chrome) -> str:
    """Click on the copy button, and paste what it copied."""
    facts(browser)  # the row comes with them
    find(browser, "button.copy").click()
    wait_for(browser, "return document.querySelector('.told').textContent.startsWith('Copied.')")
    browser.execute_script("""const field = document.createElement("textarea");
        document.querySelector("dialog").append(field); field.focus(); window.pasted = field;""")
    ActionChains(browser).key_down(Keys.CONTROL).send_keys("v").key_up(Keys.CONTROL).perform()
    text: str = browser.execute_script("window.pasted.remove(); return window.pasted.value")
    return text


@pytest.mark.parametrize("clipboard", ["there", "refused"])
def test_a_row_is_copied_as_the_ledger_has_it(clipboard: str, browser: Chrome, tmp_path: Path) -> None:
    """What is pasted is the row that makes the job again, digits beyond JavaScript's numbers too, and what else it needs."""
    job = make_job(0, seed=2**62 + 3, sample=2, backend_opts={"x": 1.0}, prompt=HOSTILE, extra={"n": 2**60 + 1})
    page = written(tmp_path / "b", (job, None))
    open_page(browser, page, f"job={job.job_id}")
    if clipboard == "refused":
        browser.execute_script("navigator.clipboard.writeText = () => Promise.reject(new Error('refused'))")
    row = {
        **{name: getattr(job, name) for name in ("job_id", "id", "prompt", "negative_prompt", "backend", "steps")},
        **dict.fromkeys(("requested_width", "requested_height"), 32),
        "requested_format": "png",
        **dict.fromkeys(("aspect_ratio", "input_image", "input_mask")),
        "seed": job.seed,
        "sample": 2,
        "earlier": 0,
        "backend_opts": json.dumps(job.backend_opts),
        "extra": json.dumps(job.extra),
    }
    assert copied(browser) == build_manifest_lines(row)
    assert texts(browser, ".told") == ["Copied. The row makes samples 0 to 2; this one is the last."]


def nodes(browser: Chrome) -> int:
    """How many elements the document holds."""
    count: int = browser.execute_script("return document.getElementsByTagName('*').length")
    return count


@pytest.mark.soak
def test_ten_thousand_images_scroll(browser: Chrome, large_page: Path) -> None:
    """All are there, yet only what is in sight is in the document: at the top, in the middle and at the end."""
    open_page(browser, large_page)
    assert prompts(browser)[0] == "the image of number 0"
    seen = [nodes(browser)]
    for part, number in ((0.5, MANY // 2), (1, MANY - 1)):
        scroll = "const c = document.getElementById('content'); c.scrollTop = arguments[0] * (c.scrollHeight - c.clientHeight)"
        browser.execute_script(scroll, part)
        wait_for(
            browser, "return document.getElementById('content').textContent.includes(arguments[0])", f"number {number}"
        )
        assert images_loaded(browser, "#content img")
        seen.append(nodes(browser))
    assert max(seen) < MOST_NODES
    assert prompts(browser)[-1] == f"the image of number {MANY - 1}"
    press(browser, "/", "row-9876")
    # The texts of so many are got ready in pieces.
    wait_for(browser, "return document.querySelector('.counted').textContent.startsWith('1 of')")
    assert prompts(browser) == ["the image of number 9876"]


@pytest.mark.soak
def test_the_keyboard_walks_through_ten_thousand(browser: Chrome, large_page: Path) -> None:
    """End and arrows reach images that were not in the document."""
    open_page(browser, large_page)
    press(browser, Keys.ARROW_DOWN, Keys.END)
    assert f"number {MANY - 1}" in focused(browser)
    press(browser, Keys.HOME, *[Keys.ARROW_DOWN] * 30)
    row = browser.execute_script("return Number(document.activeElement.closest('.virtual-row').dataset.row)")
    assert row == 30
    assert nodes(browser) < MOST_NODES


def test_search_minds_neither_case_nor_accents(browser: Chrome, tmp_path: Path) -> None:
    """A letter is found however it is written: composed or not, with its accent or without."""
    jobs = [make_job(0, prompt="a Café in Zu\u0308rich"), make_job(1, prompt="a cave")]
    open_page(browser, written(tmp_path / "b", *((job, None) for job in jobs)))
    for text in ("cafe", "CAFÉ", "cafe\u0301", "zürich"):
        browser.execute_script("Gallery.change({ text: arguments[0] })", text)
        assert prompts(browser) == [jobs[0].prompt]


def test_back_closes_the_detail(browser: Chrome, matrix_page: Path) -> None:
    """As the cross does; Forward opens it again, and the list stays where it was."""
    open_page(browser, matrix_page)
    press(browser, Keys.ARROW_DOWN, Keys.ENTER)
    wait_for(browser, "return document.querySelector('dialog').open")
    browser.back()
    wait_for(browser, "return !document.querySelector('dialog').open && !location.hash.includes('job=')")
    browser.forward()
    wait_for(browser, "return document.querySelector('dialog').open")
    find(browser, "[aria-label=Close]").click()
    wait_for(browser, "return !document.querySelector('dialog').open && !location.hash.includes('job=')")


def test_the_arrows_live_at_both_ends(browser: Chrome, matrix_page: Path) -> None:
    """A button at the end of the way keeps the focus, so the keys go on to work."""
    open_page(browser, matrix_page, f"job={make_job(1).job_id}")
    find(browser, "[aria-label=Previous]").click()
    assert facts(browser)["prompt"] == "a fox at dawn"
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
    assert facts(browser)["prompt"] == "a fox at dusk"


def test_one_tab_leads_to_the_images(browser: Chrome, matrix_page: Path) -> None:
    """The first Tab stop skips head and filters; among the cards one is a stop, and the arrows move it."""
    open_page(browser, matrix_page)
    press(browser, Keys.TAB)
    assert focused(browser) == "Skip to the images"
    press(browser, Keys.ENTER)
    assert "a fox at dawn" in focused(browser)
    press(browser, Keys.ARROW_RIGHT)
    stops = "return [...document.querySelectorAll('#content [tabindex=\"0\"]')].map((one) => one.textContent)"
    (stop,) = browser.execute_script(stops)
    assert "a fox at dusk" in stop


def test_a_command_makes_another_image_of_the_row(browser: Chrome, tmp_path: Path) -> None:
    """The original opens first; the copied command names the folder as a shell needs it."""
    page = written(tmp_path / "it's mine", (make_job(0), None))
    open_page(browser, page, f"job={make_job(0).job_id}")
    assert texts(browser, ".actions > *") == [
        "Open original",
        "Download",
        "Copy reroll command",
        "Copy as manifest row",
    ]
    find(browser, "button.reroll").click()
    wait_for(browser, "return document.querySelector('.told').textContent.startsWith('Copied.')")
    words = shlex.split(texts(browser, ".copying pre")[0])
    assert words == ["imagen", "reroll", str(page.parent), "--id", make_job(0).job_id[:12]]


HUGE = """
const scroller = document.createElement("div");
scroller.style.cssText = "height: 600px; overflow: auto; position: relative";
document.body.append(scroller);
const rows = Gallery.virtualRows({ scroller, heights: new Array(1000000).fill(300),
  render: (index) => Gallery.element("div", {}, Gallery.element("button", { class: "card", "data-job": index }, `row ${index}`)) });
scroller.append(rows.list);
rows.update();
window.huge = { scroller, rows, seen: () => [...scroller.querySelectorAll(".virtual-row")].filter((row) => {
  const [box, frame] = [row.getBoundingClientRect(), scroller.getBoundingClientRect()];
  return box.bottom > frame.top && box.top < frame.bottom;
}).map((row) => Number(row.dataset.row)) };
"""


def test_a_million_rows_can_be_reached(browser: Chrome, matrix_page: Path) -> None:
    """A list higher than any browser draws is gone through by its share; keys and wheel still move by what they say."""
    open_page(browser, matrix_page)
    browser.execute_script(HUGE)
    assert browser.execute_script("return huge.seen()") == [0, 1]
    browser.execute_script("huge.scroller.scrollTop = huge.scroller.scrollHeight")
    wait_for(browser, "return huge.seen().at(-1) === 999999")
    browser.execute_script("huge.scroller.scrollTop = (huge.scroller.scrollHeight - huge.scroller.clientHeight) / 2")
    middle = wait_for(browser, "return Math.abs(huge.seen()[0] - 500000) < 3 && huge.seen()[0]")
    browser.execute_script(
        "huge.scroller.dispatchEvent(new WheelEvent('wheel', { deltaY: 300, cancelable: true })); huge.rows.update()"
    )
    assert browser.execute_script("return huge.seen()[0]") == middle + 1
    browser.execute_script("huge.rows.show(123456).querySelector('button').focus()")
    press(browser, Keys.ARROW_DOWN)
    assert focused(browser) == "row 123457"
    assert 123457 in browser.execute_script("return huge.seen()")
