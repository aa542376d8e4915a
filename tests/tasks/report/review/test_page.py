"""Judging by keys in a real browser, on the review's own server and on a page from a file."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, Keys

from tasks.ledger.database.connect import open_ledger
from tasks.ledger.verdicts import read_verdicts
from tests.support.factories import make_job
from tests.support.forked_process import IMAGEN, start_python
from tests.support.services.asking import answers
from tests.support.services.browser import open_page, read_errors, wait_for
from tests.support.waiting import PATIENCE_S, eventually
from tests.tasks.report.gallery.batches import write_batch
from tests.tasks.report.gallery.conftest import written
from tests.tasks.report.gallery.looking import find, press, texts

JOBS = [make_job(number) for number in range(6)]
READY = "return 'ready' in document.body.dataset"


@pytest.fixture
def batch(out: Path) -> Path:
    """Six images."""
    asyncio.run(write_batch(out, [(job, None) for job in JOBS]))
    return out


@contextmanager
def reviewing(out: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`imagen review` in a process of its own; its page's address, and the process."""
    with start_python(IMAGEN, "review", out, *options, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2], process
        finally:
            process.kill()


def judged(out: Path) -> dict[tuple[str, str], tuple[str | None, int | None]]:
    """What the ledger has, by job's position and reviewer."""

    async def read() -> list[Any]:
        async with open_ledger(out) as engine:
            return list(await read_verdicts(engine))

    number = {job.job_id: str(job.position) for job in JOBS}
    return {(number[row["job_id"]], row["reviewer"]): (row["verdict"], row["rating"]) for row in asyncio.run(read())}


def test_keys_judge_and_a_killed_server_loses_nothing(browser: Chrome, batch: Path) -> None:
    """Each key is in the ledger when the page says so; a reload, a second reviewer and an undo see it."""
    with reviewing(batch, "--reviewer", "ann") as (address, process):
        browser.get(address)
        wait_for(browser, READY)
        press(browser, Keys.ARROW_DOWN, "p", "x", "4", "p")
        wait_for(browser, "return document.querySelector('#verdicts .saved').textContent === 'saved'")
        wait_for(browser, "return document.querySelector('#verdicts span').textContent === '2 picked, 1 rejected'")
        process.kill()
    browser.get("about:blank")
    read_errors(browser)  # the page noticed that its server went
    assert judged(batch) == {("0", "ann"): ("pick", None), ("1", "ann"): ("reject", None), ("2", "ann"): ("pick", 4)}
    with reviewing(batch, "--reviewer", "bob") as (address, _):
        browser.get(address)
        wait_for(browser, READY)
        assert len(texts(browser, ".badge")) == 3
        press(browser, Keys.ARROW_DOWN, Keys.ENTER)
        assert "ann: picked" in texts(browser, ".judging .hint")
        press(browser, "x", "u")
        wait_for(browser, "return document.querySelector('#verdicts .saved').textContent === 'saved'")
        wait_for(browser, "return document.querySelector('#verdicts span').textContent === '0 picked, 0 rejected'")
        assert read_errors(browser) == []
    assert judged(batch)["0", "bob"] == (None, None)
    assert judged(batch)["0", "ann"] == ("pick", None)


def test_a_page_from_a_file_keeps_verdicts_in_the_browser(browser: Chrome, tmp_path: Path) -> None:
    """A reload has them still; filters count them; the command that takes the ids is told."""
    page = written(tmp_path / "b", *((job, None) for job in JOBS))
    open_page(browser, page)
    browser.execute_script("localStorage.clear()")
    press(browser, Keys.ARROW_DOWN, "p", "x", "3")
    browser.refresh()
    wait_for(browser, READY)
    assert texts(browser, "#verdicts span:first-child") == ["1 picked, 1 rejected"]
    assert texts(browser, "[data-facet=verdict] label") == ["picked1", "rejected1", "not judged4"]
    find(browser, "#verdicts button.side").click()
    wait_for(browser, "return document.querySelector('#verdicts .saved').textContent.includes('imagen pick')")
    press(browser, "?")
    assert find(browser, "dialog.help").is_displayed()
    browser.execute_script("localStorage.clear()")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(number: signal.Signals, batch: Path) -> None:
    """Ctrl-C is the way to end a review: exit status 0, and nothing on standard error."""
    pipe = subprocess.PIPE
    with start_python(IMAGEN, "review", batch, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        # Its address is told a moment before the page is there.
        eventually(lambda: (answer := answers(address)) is not None and answer.is_success)
        process.send_signal(number)
        _, complaints = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, complaints) == (0, "")
