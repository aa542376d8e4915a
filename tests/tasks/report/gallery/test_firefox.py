"""The gallery and a review in Firefox: what holds in Chromium holds there, and no list is too high for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Keys

from tests.support.factories import make_job
from tests.support.services.browser import DESKTOP_PX, PHONE_PX
from tests.support.services.firefox import Firefox, missing_firefox, run_firefox
from tests.support.services.processes import free_port
from tests.tasks.report.gallery.batches import write_batch
from tests.tasks.report.gallery.looking import VIEWS
from tests.tasks.report.gallery.test_browsing import HUGE
from tests.tasks.report.review.test_page import JOBS, READY, judged, reviewing

pytestmark = [
    pytest.mark.soak,  # a second browser starts
    pytest.mark.skipif(missing_firefox() is not None, reason=str(missing_firefox())),
]

WIDTHS = """const widths = (place) => { const one = document.querySelector(place); return one.scrollWidth - one.clientWidth; };
    return ["html", "#top", document.body.dataset.view === "matrix" ? "html" : "#content"].map(widths)"""
FACTS = "return document.querySelector('.facts dd') && !document.querySelector('.facts[aria-busy]')"
SAVED = "return document.querySelector('#verdicts .saved').textContent === 'saved'"


@pytest.fixture(scope="session")
def _firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with run_firefox(tmp_path_factory.mktemp("firefox")) as firefox:
        yield firefox


@pytest.fixture
def firefox(_firefox: Firefox) -> Firefox:
    """The session's Firefox as a desktop, its console empty."""
    _firefox.resize(*DESKTOP_PX)
    _firefox.open("about:blank")
    _firefox.read_complaints()
    return _firefox


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", [DESKTOP_PX, PHONE_PX], ids=["desktop", "phone"])
def test_every_view_opens(view: str, size: tuple[int, int], firefox: Firefox, matrix_page: Path) -> None:
    """Without a complaint, and no wider than the screen."""
    firefox.resize(*size)
    firefox.open(f"{matrix_page.as_uri()}#view={view}")
    firefox.wait_for(READY)
    assert firefox.run(WIDTHS) == [0, 0, 0]
    assert firefox.read_complaints() == []


def test_keys_lead_through_the_images(firefox: Firefox, matrix_page: Path) -> None:
    """Search, arrows, Enter, the details that come later, Back."""
    firefox.open(matrix_page.as_uri())
    firefox.wait_for(READY)
    firefox.press("/owl", Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ENTER)
    firefox.wait_for(FACTS)
    assert firefox.run("return document.querySelector('.place').textContent") == "2 of 3"
    assert make_job(4).job_id in firefox.run("return document.querySelector('.facts').textContent")
    firefox.run("history.back()")
    firefox.wait_for("return !document.querySelector('dialog').open && !location.hash.includes('job=')")
    assert firefox.read_complaints() == []


def test_a_million_rows_are_reached(firefox: Firefox, matrix_page: Path) -> None:
    """Firefox cuts elements off at 17.9 million pixels; the last row and the middle are seen all the same."""
    firefox.open(matrix_page.as_uri())
    firefox.wait_for(READY)
    firefox.run(HUGE)
    firefox.run("huge.scroller.scrollTop = huge.scroller.scrollHeight")
    firefox.wait_for("return huge.seen().at(-1) === 999999")
    firefox.run("huge.scroller.scrollTop = (huge.scroller.scrollHeight - huge.scroller.clientHeight) / 2")
    firefox.wait_for("return Math.abs(huge.seen()[0] - 500000) < 3")


def test_verdicts_reach_the_ledger(firefox: Firefox, out: Path) -> None:
    """By keys, over a reload and a killed server."""
    asyncio.run(write_batch(out, [(job, None) for job in JOBS]))
    with reviewing(out, "--reviewer", "ann", "--port", str(free_port())) as (address, process):
        firefox.open(address)
        firefox.wait_for(READY)
        firefox.press(Keys.ARROW_DOWN, "p")
        firefox.wait_for(SAVED)
        process.kill()
        process.wait()
        firefox.press("x")
        firefox.wait_for("return document.querySelector('#verdicts .saved').textContent.startsWith('NOT saved')")
    firefox.open("about:blank")
    with reviewing(out, "--reviewer", "ann") as (again, _):
        assert again == address
        firefox.open(address)
        firefox.wait_for(READY)
        firefox.wait_for(SAVED)
        firefox.open("about:blank")
    assert judged(out) == {("0", "ann"): ("pick", None), ("1", "ann"): ("reject", None)}
