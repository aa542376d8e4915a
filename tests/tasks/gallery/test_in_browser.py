"""The gallery as its users meet it: a real browser, the page from the file system, keys and clicks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tasks.gallery.manifest_rows import manifest_lines
from tasks.records import JobState
from tests.making import make_job
from tests.services.browser import PHONE_PX, errors_of, open_page, prefer_theme, resize, wait_for
from tests.tasks.gallery.conftest import ANIMALS, HOSTILE, LIGHTS, MANY, written

MOST_NODES = 1_500
TIMES = "\N{MULTIPLICATION SIGN}"
VIEWS = ("pictures", "matrix", "failures", "summary")


def find(browser: Chrome, selector: str) -> WebElement:
    """The first element."""
    return browser.find_element(By.CSS_SELECTOR, selector)


def texts(browser: Chrome, selector: str) -> list[str]:
    """What stands in each such element, in the order of the page."""
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
    )
    return found


def prompts(browser: Chrome) -> list[str]:
    """The prompts of the cards that are there."""
    return texts(browser, "#content .card .prompt")


def press(browser: Chrome, *keys: str) -> None:
    """Press keys, wherever the focus is."""
    ActionChains(browser).send_keys(*keys).perform()


def focused(browser: Chrome) -> str:
    """The text of the focused element."""
    text: str = browser.execute_script("return document.activeElement.textContent")
    return text


def facts(browser: Chrome) -> dict[str, str]:
    """The parameters of the open detail."""
    return dict(zip(texts(browser, ".facts dt"), texts(browser, ".facts dd"), strict=True))


def choose(browser: Chrome, facet: str, value: str) -> None:
    """Tick one value of a filter."""
    find(browser, f"[data-facet='{facet}'] [data-value='{value}'] input").click()


def pictures_loaded(browser: Chrome, selector: str) -> bool:
    """Whether there are such pictures and each one has pixels; waits for them."""
    script = """const all = [...document.querySelectorAll(arguments[0])];
        return all.length > 0 && all.every((one) => one.complete && one.naturalWidth > 0);"""
    return bool(wait_for(browser, script, selector))


@pytest.mark.parametrize("view", VIEWS)
def test_it_opens_from_the_file_system_without_a_complaint(view: str, browser: Chrome, matrix_page: Path) -> None:
    """Every view loads by itself: no error in the console, and nothing from anywhere but files."""
    open_page(browser, matrix_page, f"view={view}")
    if view != "failures":
        assert pictures_loaded(browser, "#content img")
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith("file:") for name in loaded)
    assert errors_of(browser) == []


def test_the_grid_shows_every_job_with_its_facts(browser: Chrome, matrix_page: Path) -> None:
    """Prompt, seed, size, model and cost; without a picture, why."""
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
    assert texts(browser, ".empty") == ["No picture is like that. Clear a filter, or the search."]


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
    """What was chosen stands in the address, the open picture too."""
    open_page(browser, matrix_page)
    choose(browser, "x.animal", "owl")
    press(browser, "/", "night", Keys.ARROW_DOWN, Keys.ENTER)
    assert facts(browser)["prompt"] == "a owl at night"
    browser.refresh()
    wait_for(browser, "return 'ready' in document.body.dataset")
    assert prompts(browser) == ["a owl at night"]
    assert facts(browser)["prompt"] == "a owl at night"


def test_the_keyboard_is_enough(browser: Chrome, matrix_page: Path) -> None:
    """Arrows go from card to card, Enter opens, arrows step through the pictures, Escape gives the focus back."""
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
    assert pictures_loaded(browser, ".stage img")
    press(browser, Keys.ARROW_RIGHT)
    assert facts(browser)["prompt"] == "a fox at night"
    press(browser, Keys.ESCAPE)
    assert not find(browser, "dialog").is_displayed()
    assert "a fox at night" in focused(browser)
    press(browser, Keys.END)
    assert "a breeze" in focused(browser)
    press(browser, Keys.HOME)
    assert "a fox at dawn" in focused(browser)


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
    assert find(browser, ".stage a").get_attribute("href") == (matrix_page.parent / found["file"]).as_uri()


def copied(browser: Chrome) -> str:
    """Click on the copy button, and paste what it copied."""
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
        "aspect_ratio": None,
        "seed": job.seed,
        "sample": 2,
        "earlier": 0,
        "backend_opts": json.dumps(job.backend_opts),
        "extra": json.dumps(job.extra),
    }
    assert copied(browser) == manifest_lines(row)
    assert texts(browser, ".told") == ["Copied. The row makes samples 0 to 2; this one is the last."]


@pytest.mark.parametrize("view", VIEWS)
def test_a_text_is_never_code(view: str, browser: Chrome, hostile_page: Path) -> None:
    """A prompt, column, model, error or folder that is HTML or a script is shown as it stands, in every view."""
    open_page(browser, hostile_page, f"view={view}")
    assert find(browser, "h1").text == hostile_page.parent.name.strip()
    if view == "pictures":
        assert prompts(browser) == [HOSTILE] * 3
    if view in {"pictures", "failures"}:
        find(browser, "#content button.card").click()
        assert {facts(browser)[name] for name in ("prompt", "negative prompt", "model", HOSTILE)} == {HOSTILE}
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.querySelectorAll('img[onerror], b b, i').length") == 0
    assert errors_of(browser) == []


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
    assert any("Content Security Policy" in error for error in errors_of(browser))


def nodes(browser: Chrome) -> int:
    """How many elements the document holds."""
    count: int = browser.execute_script("return document.getElementsByTagName('*').length")
    return count


def test_ten_thousand_pictures_scroll(browser: Chrome, large_page: Path) -> None:
    """All are there, yet only what is in sight is in the document: at the top, in the middle and at the end."""
    open_page(browser, large_page)
    assert prompts(browser)[0] == "the picture of number 0"
    seen = [nodes(browser)]
    for part in (0.5, 1.0):
        browser.execute_script(
            "const c = document.getElementById('content'); c.scrollTop = arguments[0] * c.scrollHeight", part
        )
        wait_for(browser, "return document.querySelector('.virtual-row').dataset.row > 100")
        assert pictures_loaded(browser, "#content img")
        seen.append(nodes(browser))
    assert max(seen) < MOST_NODES
    assert prompts(browser)[-1] == f"the picture of number {MANY - 1}"
    press(browser, "/", "row-9876")
    assert prompts(browser) == ["the picture of number 9876"]


def test_the_keyboard_walks_through_ten_thousand(browser: Chrome, large_page: Path) -> None:
    """End and arrows reach pictures that were not in the document."""
    open_page(browser, large_page)
    press(browser, Keys.ARROW_DOWN, Keys.END)
    assert f"number {MANY - 1}" in focused(browser)
    press(browser, Keys.HOME, *[Keys.ARROW_DOWN] * 30)
    row = browser.execute_script("return Number(document.activeElement.closest('.virtual-row').dataset.row)")
    assert row == 30
    assert nodes(browser) < MOST_NODES


def test_a_matrix_has_rows_and_columns_by_two_keys(browser: Chrome, matrix_page: Path) -> None:
    """The manifest's own columns, exchangeable; each cell holds the picture of its combination, and opens it."""
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


def test_a_cell_of_many_shows_some_and_leads_to_all(browser: Chrome, tmp_path: Path) -> None:
    """Pictures that differ in a third key share a cell; a button shows all of them in the grid."""
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


def test_missing_pictures_and_held_jobs_are_failures(browser: Chrome, tmp_path: Path) -> None:
    """A file that is gone, and a job that may have been paid for, are not shown as fine."""
    held = {"state": JobState.HELD, "error_kind": "ambiguous", "error_message": "it cannot be found", "attempts": 1}
    out = tmp_path / "b"
    written(out, (make_job(0), None), (make_job(1), held))
    next((out / "images").rglob("*.png")).unlink()
    open_page(browser, written(out), "view=failures")
    assert sorted(texts(browser, ".failure .reason")) == ["it cannot be found", "the file is missing"]
    assert any("--retry-held" in text for text in texts(browser, ".failure-kind p"))


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_batch_says_so(view: str, browser: Chrome, tmp_path: Path) -> None:
    """No rows is no error."""
    open_page(browser, written(tmp_path / "b"), f"view={view}")
    assert texts(browser, ".empty") == ["This batch has no jobs yet."]
    assert errors_of(browser) == []


def test_a_script_that_is_gone_is_told(browser: Chrome, tmp_path: Path) -> None:
    """A page whose rows were removed says what to do instead of nothing."""
    page = written(tmp_path / "b", (make_job(0), None))
    next((page.parent / "gallery/rows").iterdir()).unlink()
    browser.get(page.as_uri())
    message = wait_for(browser, "return document.querySelector('.empty')?.textContent.match(/is missing.*/)?.[0]")
    assert message == f"is missing. Write the page anew: imagen gallery {page.parent}"


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
        "Another picture 2",
        "Only in the first 1",
        "Only in the second 1",
    ]
    find(browser, ".chip:nth-child(3)").click()
    assert prompts(browser) == ["a fox at dawn"]
    press(browser, "/", Keys.ARROW_DOWN, Keys.ENTER)
    marked = set(texts(browser, ".differs th"))
    assert {"status", "model", "seed", "reason"} <= marked
    assert not {"prompt", "animal", "id"} & marked
    assert texts(browser, "figcaption") == ["one", "two"]
    assert errors_of(browser) == []


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


def test_the_page_follows_a_run(browser: Chrome, tmp_path: Path) -> None:
    """Written again, the page shows what has come since."""
    out = tmp_path / "b"
    open_page(browser, written(out, (make_job(0), None), (make_job(1), {})))
    assert texts(browser, ".note") == ["to do"]
    open_page(browser, written(out, (make_job(0), None), (make_job(1), None)))
    assert texts(browser, ".note") == []


def test_odd_folder_names_are_found(browser: Chrome, tmp_path: Path) -> None:
    """Spaces, percent signs and hashes in a path are no part of an address."""
    out = tmp_path / "50% #1 done"
    page = written(out, (make_job(0), None))
    assert quote("50% #1 done") in page.as_uri()
    open_page(browser, page)
    assert pictures_loaded(browser, "#content img")
