"""The page of a blind comparison: what it tells, to whom, and that every answer is in the ledger."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome, Keys

from flows.cli import main
from tasks.core.errors import InputError, OutputError
from tasks.ledger.comparing.answers import read_comparisons
from tasks.ledger.database import connect
from tasks.ledger.database.connect import open_ledger
from tasks.report.blind.answering import Answering
from tasks.report.blind.app import ASSETS, BlindSession, build_app
from tasks.report.blind.pairs import Pair, find_pairs, read_candidates
from tasks.report.blind.server import ComparisonRequest, read_comparison, serve_comparison
from tasks.store.output.folder import OutputFolder
from tests.support.factories import FakeClock, make_job
from tests.support.forked_process import IMAGEN, start_python
from tests.support.services.browser import PHONE_PX, read_errors, resize, wait_for
from tests.support.services.processes import free_port
from tests.tasks.report.gallery.batches import succeeded, write_batch
from tests.tasks.report.gallery.looking import find, press, texts

PORT, TOKEN, ROWS = 8123, "t" * 32, 5


async def write_two(folder: Path) -> tuple[Path, Path]:
    """The same five rows by two models, whose images differ."""
    one, two = folder / "one", folder / "two"
    for out, model, first in ((one, "flux", 0), (two, "sdxl", 100)):
        rows = [
            make_job(
                first + number,
                id=f"row-{number}",
                model=model,
                prompt=f"prompt {number}",
                extra={"kind": str(number % 2)},
            )
            for number in range(ROWS)
        ]
        await write_batch(out, [(job, succeeded(out, job, first + number)) for number, job in enumerate(rows)])
    return one, two


class Visitor:
    """A browser of the comparison's own page, unless a test says otherwise."""

    def __init__(self, http: httpx.AsyncClient, pairs: dict[str, Pair]) -> None:
        """Visit the page of these pairs."""
        self.http, self.pairs = http, pairs

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """A GET below the token."""
        return await self.http.get(f"/{TOKEN}/{path}", headers=headers)

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """A POST of the page."""
        return await self.http.post(
            f"/{TOKEN}/{path}", json=body, headers={"Origin": f"http://127.0.0.1:{PORT}", **headers}
        )


@asynccontextmanager
async def visiting(one: Path, two: Path, reviewer: str = "ann") -> AsyncIterator[Visitor]:
    """A session over two batches, and somebody who looks at it."""
    async with open_ledger(one) as engine, open_ledger(two) as other:
        first, second = (
            await read_candidates(engine, OutputFolder(one)),
            await read_candidates(other, OutputFolder(two)),
        )
        pairs = find_pairs(first, second, seed=0)
        answering = Answering(engine, pairs, reviewer, FakeClock().clock)
        await answering.load()
        session = BlindSession(answering=answering, port=PORT, token=TOKEN)
        transport = httpx.ASGITransport(build_app(session))
        async with httpx.AsyncClient(transport=transport, base_url=session.origin) as http:
            yield Visitor(http, pairs)


async def test_nothing_tells_which_side_is_which(tmp_path: Path) -> None:
    """Neither page, state, nor headers of an image name a model, batch, job or file."""
    one, two = await write_two(tmp_path)
    async with visiting(one, two) as visitor:
        state = await visitor.get("state")
        told = [(await visitor.get("")).text, state.text]
        for shown in state.json()["next"]:
            for side in ("left", "right"):
                image = await visitor.get(f"image/{shown['pair']}/{side}")
                expected = visitor.pairs[shown["pair"]].get_image("left" if side == "left" else "right")
                assert image.content == (tmp_path / expected.out.name / expected.file_name).read_bytes()
                told.append(str(image.headers))
        secrets = ["flux", "sdxl", str(tmp_path), "images/"]
        secrets += [part for pair in visitor.pairs.values() for part in (*pair.files, pair.first.job_id[:12])]
        assert [secret for secret in secrets for text in told if secret in text] == []


async def test_answers_survive_a_restart_and_an_undo_takes_one_back(tmp_path: Path) -> None:
    """Sides become batches in the ledger; the next server goes on where the last one ended, with an undo too."""
    one, two = await write_two(tmp_path)
    async with visiting(one, two) as visitor:
        keys = list(visitor.pairs)
        for key, answer in zip(keys, ("left", "right", "tie"), strict=False):
            shown = (await visitor.get("state")).json()["next"][0]["pair"]
            assert (shown, (await visitor.post("answers", {"pair": key, "answer": answer})).status_code) == (key, 200)
        sides = [visitor.pairs[key].is_swapped for key in keys[:2]]
    async with visiting(one, two, "bob") as visitor:
        assert (await visitor.get("state")).json()["answered"] == 0
    async with visiting(one, two) as visitor:
        assert (await visitor.get("state")).json()["answered"] == 3
        # The test's clock stands at the start again: what is said later counts all the same.
        await visitor.post("undo", {})
    async with visiting(one, two) as visitor:
        await visitor.post("answers", {"pair": keys[2], "answer": "skip"})
        state = (await visitor.post("undo", {})).json()
        assert (state["answered"], state["next"][0]["pair"]) == (2, keys[2])
        assert (await visitor.post("answers", {"pair": keys[2], "answer": "skip"})).json()["answered"] == 3
        record = (await visitor.get("results")).json()
    async with open_ledger(one) as engine:
        kept = [answer.answer for answer in await read_comparisons(engine)]
    assert kept == ["second" if sides[0] else "first", "first" if sides[1] else "second", "skip"]
    assert record == await read_comparison(ComparisonRequest(first=OutputFolder(one), second=OutputFolder(two)))
    assert sum(row["won"] for row in record["models"]) == 2


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("answers", {"pair": "0" * 32, "answer": "left"}, {}, 409),
        ("answers", {"pair": "../x", "answer": "left"}, {}, 422),
        ("answers", {"pair": "0" * 32, "answer": "first"}, {}, 422),
        ("answers", [], {}, 422),
        ("answers", {"pair": "0" * 32, "answer": "left"}, {"Origin": "https://evil.example"}, 403),
        ("undo", {}, {"Origin": "null"}, 403),
        ("undo", {}, {"Host": "evil.example"}, 421),
    ],
)
async def test_what_is_no_answer_is_refused(
    path: str, body: Any, headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    """Of no pair, not by a side, from another page or under another name; nothing is written."""
    one, two = await write_two(tmp_path)
    async with visiting(one, two) as visitor:
        assert (await visitor.post(path, body, **headers)).status_code == status
        for unknown in ("ledger.db", "image/x/left", f"image/{next(iter(visitor.pairs))}/first", "../state"):
            assert (await visitor.get(unknown)).status_code == 404
        assert (await visitor.http.get("/state")).status_code == 404
        assert (await visitor.get("results")).json()["answers"] == 0


async def test_what_cannot_be_compared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch with itself, a model that is not there, and a ledger that could keep no answer."""
    one, two = (OutputFolder(out) for out in await write_two(tmp_path))
    with pytest.raises(InputError, match="with itself"):
        await read_comparison(ComparisonRequest(first=one, second=OutputFolder(tmp_path / "two" / ".." / "one")))
    with pytest.raises(InputError, match="no image of dall-e"):
        await read_comparison(ComparisonRequest(first=one, second=two, models=["dall-e"]))
    monkeypatch.setattr(connect, "is_writable", lambda _: False)
    with pytest.raises(OutputError, match="may only be read"):
        await serve_comparison(ComparisonRequest(first=one, second=two), port=0, reviewer="a", ready=pytest.fail)


def test_the_scripts_turn_no_text_into_markup() -> None:
    """Text reaches the page as text only, and all that is fetched is the server's own."""
    scripts = "\n".join(map(ASSETS.read, ASSETS.scripts))
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?:", scripts)
        == []
    )
    assert {path.name for path in ASSETS.folder.iterdir()} == {*ASSETS.scripts, *ASSETS.styles, "page.html"}


@contextmanager
def comparing(one: Path, two: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`imagen compare --review` in a process of its own; its page's address, and the process."""
    words = ("--review", "--reviewer", "ann", *options)
    with start_python(IMAGEN, "compare", one, two, *words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[2], process
        finally:
            process.kill()


def test_keys_compare_and_a_killed_server_loses_nothing(
    browser: Chrome, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each key is one answer; what was not saved is told and the pair stays; the end shows what the command prints."""
    one, two = asyncio.run(write_two(tmp_path))
    answered = "return document.body.dataset.ready === arguments[0]"
    both = "return [...document.querySelectorAll('.pair img')].filter((one) => one.naturalWidth).length === 2"
    with comparing(one, two, "--port", str(free_port())) as (address, process):
        browser.get(address)
        for number, key in enumerate((Keys.ARROW_LEFT, Keys.ARROW_RIGHT, "t", "u")):
            wait_for(browser, answered, str(number))
            wait_for(browser, both)
            press(browser, key)
        wait_for(browser, answered, "2")
        assert read_errors(browser) == []
        process.kill()
        process.wait()
        press(browser, "t")
        wait_for(browser, "return document.getElementById('message').textContent.startsWith('NOT saved')")
        assert texts(browser, "#progress") == ["2 of 5"]
    with comparing(one, two) as (again, _):
        assert again == address
        press(browser, "t")
        wait_for(browser, answered, "3")
        resize(browser, PHONE_PX)
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        find(browser, "[data-answer=skip]").click()
        wait_for(browser, answered, "4")
        press(browser, Keys.ARROW_LEFT)
        wait_for(browser, answered, "5")
        rows = texts(browser, ".results table:first-of-type tbody tr td:first-child")
        browser.get("about:blank")
    read_errors(browser)  # that its server went
    monkeypatch.setattr(sys, "argv", ["imagen", "compare", str(one), str(two), "--json"])
    with pytest.raises(SystemExit, match="0"):
        main()
    record = json.loads(capsys.readouterr().out)
    assert (record["compared"], record["skipped"], record["reviewers"]) == (4, 1, ["ann"])
    assert {row["model"] for row in record["models"]} == {"flux", "sdxl"} <= set(rows)
