"""Verdicts that are never lost: server killed, page reloaded, two people at once, thousands in a row."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.verdicts import count_verdicts
from tasks.store.output.folder import OutputFolder
from tests.support.services.browser import read_errors, wait_for
from tests.support.services.processes import free_port
from tests.tasks.report.gallery.batches import write_batch, write_large_batch
from tests.tasks.report.gallery.looking import press, texts
from tests.tasks.report.review.test_page import JOBS, READY, judged, reviewing

SAVED = "return document.querySelector('#verdicts .saved').textContent === 'saved'"
UNSAVED = "return document.querySelector('#verdicts .saved').textContent.startsWith('NOT saved')"
MANY = 2_000
KEYS_AT_ONCE = 50
LONGER_THAN_A_REFRESH_S = 6.0


@pytest.fixture
def batch(out: Path) -> Path:
    """Six images."""
    asyncio.run(write_batch(out, [(job, None) for job in JOBS]))
    return out


def type_in_parts(browser: Chrome, keys: str) -> None:
    """Press many keys; a browser on a busy machine may take longer for all than a driver waits for one answer."""
    for first in range(0, len(keys), KEYS_AT_ONCE):
        press(browser, keys[first : first + KEYS_AT_ONCE])


def count(out: Path) -> dict[str, int]:
    """Picks and rejects in the ledger."""

    async def read() -> dict[str, int]:
        async with open_ledger(OutputFolder(out).home) as engine:
            return await count_verdicts(engine)

    return asyncio.run(read())


def test_a_page_outlives_its_server(browser: Chrome, batch: Path) -> None:
    """What is judged while no server answers waits in the browser, over a reload too; the next server gets it at the same address."""
    with reviewing(batch, "--reviewer", "ann", "--port", str(free_port())) as (address, process):
        browser.get(address)
        wait_for(browser, READY)
        press(browser, Keys.ARROW_DOWN, "p")
        wait_for(browser, SAVED)
        process.kill()
        process.wait()
        press(browser, "x", "p")
        wait_for(browser, UNSAVED)
    browser.get("about:blank")
    with reviewing(batch, "--reviewer", "ann") as (again, _):
        assert again == address
        browser.get(address)
        wait_for(browser, READY)
        wait_for(browser, SAVED)
        assert texts(browser, "#verdicts .tally") == ["2 picked, 1 rejected"]
    browser.get("about:blank")
    read_errors(browser)  # that its server went
    verdicts = [judged(batch)[str(number), "ann"][0] for number in range(3)]
    assert verdicts == ["pick", "reject", "pick"]


def test_two_tabs_write_over_no_verdict_of_each_other(browser: Chrome, batch: Path) -> None:
    """Both wait for a dead server in one browser; after one tab is closed, the other one's reload brings what both heard."""
    # Its second server comes to the same port, which the system must not have given away meanwhile.
    with reviewing(batch, "--reviewer", "<b>ann</b> 'x'", "--port", str(free_port())) as (address, process):
        browser.get(address)
        wait_for(browser, READY)
        first = browser.current_window_handle
        browser.switch_to.new_window("tab")
        second = browser.current_window_handle
        browser.get(address)
        wait_for(browser, READY)
        process.kill()
        process.wait()
        press(browser, Keys.ARROW_DOWN, "p")
        wait_for(browser, UNSAVED)
        browser.close()
        browser.switch_to.window(first)
        press(browser, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, "x")
        wait_for(browser, UNSAVED)
    assert second not in browser.window_handles
    browser.get("about:blank")
    with reviewing(batch, "--reviewer", "<b>ann</b> 'x'") as (again, _):
        assert again == address
        browser.get(address)
        wait_for(browser, READY)
        wait_for(browser, SAVED)
        assert texts(browser, "#verdicts .tally") == ["1 picked, 1 rejected"]
    browser.get("about:blank")
    read_errors(browser)  # that its server went
    assert count(batch) == {"pick": 1, "reject": 1}


def test_one_refused_verdict_holds_up_no_other(browser: Chrome, batch: Path) -> None:
    """An image that the batch has no more is told; what was said with it is saved."""
    with reviewing(batch, "--reviewer", "ann") as (address, _):
        browser.get(address)
        wait_for(browser, READY)
        waiting = [
            {"reviewer": "ann", "judgement": {"job_id": job_id, "verdict": "pick", "rating": None, "note": None}}
            for job_id in (JOBS[0].job_id, "0" * 64, JOBS[1].job_id)
        ]
        script = """const place = 'imagen-unsaved:' + Gallery.page.batches[0].key;
            for (const one of arguments[0]) localStorage.setItem(`${place}:${one.reviewer}:${one.judgement.job_id}`, JSON.stringify(one))"""
        browser.execute_script(script, waiting)
        browser.refresh()
        wait_for(browser, READY)
        assert wait_for(browser, "return Object.keys(localStorage).every((key) => !key.startsWith('imagen-unsaved'))")
        # The word "saved" would hide it.
        assert "is no image of this batch" in texts(browser, "#verdicts .saved")[0]
    browser.get("about:blank")
    read_errors(browser)  # the refusals
    assert count(batch) == {"pick": 2, "reject": 0}


def test_two_reviewers_see_how_far_they_agree(browser: Chrome, batch: Path) -> None:
    """Of the images that both judged; a filter leads to those on which they differ."""
    with reviewing(batch, "--reviewer", "ann") as (first, _), reviewing(batch, "--reviewer", "bob") as (second, _):
        assert first != second
        browser.get(first)
        wait_for(browser, READY)
        press(browser, Keys.ARROW_DOWN, "p", "p", "x")
        wait_for(browser, SAVED)
        browser.get(second)
        wait_for(browser, READY)
        press(browser, Keys.ARROW_DOWN, "p", "x")
        wait_for(browser, SAVED)
        wait_for(
            browser, "return document.querySelector('.agreement')?.textContent === 'ann and bob agree on 1 of 2 (50 %)'"
        )
        browser.execute_script("Gallery.chooseValue('agreement', 'they differ', 'is')")
        assert texts(browser, "#content .card .prompt") == [JOBS[1].prompt]
        assert read_errors(browser) == []


@pytest.mark.soak
def test_two_thousand_images_are_judged_by_keys(browser: Chrome, out: Path) -> None:
    """Keys as fast as a browser takes them, a kill in the middle and a reload: every verdict is in the ledger."""
    asyncio.run(write_large_batch(out, MANY))
    keys = "".join("p" if number % 3 else "x" for number in range(MANY))
    rejected = keys.count("x")
    with reviewing(out, "--reviewer", "ann", "--port", str(free_port())) as (address, process):
        browser.get(address)
        wait_for(browser, READY)
        press(browser, Keys.ARROW_DOWN)
        type_in_parts(browser, keys[: MANY // 2])
        process.kill()
        process.wait()
        type_in_parts(browser, keys[MANY // 2 :])
        wait_for(browser, UNSAVED)
        time.sleep(LONGER_THAN_A_REFRESH_S)
        assert browser.execute_script(UNSAVED), "the page's question to the dead server must not hide what waits"
    browser.get("about:blank")
    with reviewing(out, "--reviewer", "ann") as (address, _):
        browser.get(address)
        wait_for(browser, READY)
        tally = f"{MANY - rejected:,} picked, {rejected:,} rejected"
        wait_for(browser, "return document.querySelector('#verdicts .tally').textContent === arguments[0]", tally)
        wait_for(browser, "return Object.keys(localStorage).every((key) => !key.startsWith('imagen-unsaved'))")
        began = time.monotonic()
        browser.refresh()
        wait_for(browser, READY)
        assert texts(browser, "#verdicts .tally") == [tally], f"after {time.monotonic() - began:.1f} s"
    browser.get("about:blank")
    read_errors(browser)
    assert count(out) == {"pick": MANY - rejected, "reject": rejected}
