"""What the review's server answers: to its own page everything, to anybody else nothing."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped, OutputError
from tasks.ledger.database import connect
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import execute
from tasks.ledger.verdicts import count_verdicts, read_verdicts
from tasks.report.gallery.build import write_gallery
from tasks.report.review import judging
from tasks.report.review.app import ReviewSession, build_app
from tasks.report.review.current_gallery import CurrentGallery
from tasks.report.review.judging import Judge
from tasks.report.review.server import serve_review
from tasks.store.output.folder import OutputFolder
from tests.support.factories import FakeClock, make_job
from tests.tasks.report.gallery.batches import failed, succeeded, write_batch

PORT = 8123
JOBS = [make_job(number) for number in range(3)]


class Visitor:
    """A browser of the review's own page, unless a test says otherwise."""

    def __init__(self, session: ReviewSession, http: httpx.AsyncClient) -> None:
        """Visit this session."""
        self.session, self.http = session, http

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """A GET below the token."""
        return await self.http.get(f"/{self.session.token}/{path}", headers=headers)

    async def judge(self, *judgements: dict[str, Any], reviewer: str = "ann", **headers: str) -> httpx.Response:
        """A POST of judgements."""
        body = {"reviewer": reviewer, "judgements": list(judgements)}
        return await self.http.post(
            f"/{self.session.token}/verdicts", json=body, headers={"Origin": self.session.origin, **headers}
        )


@pytest.fixture
async def visitor(out: Path) -> AsyncIterator[Visitor]:
    """A session over two images and a failure, and somebody who looks at it."""
    await write_batch(out, [(JOBS[0], None), (JOBS[1], None), (JOBS[2], failed("moderation", "flagged"))])
    (out / "secret.txt").write_text("secret")
    async with open_ledger(out) as engine:
        clock: Clock = FakeClock().clock
        current = CurrentGallery(OutputFolder(out), engine)
        await current.write()
        session = ReviewSession(
            current=current,
            judge=Judge(engine, clock),
            reviewer="ann",
            port=PORT,
            token="t" * 32,
        )

        async def read(since_us: int) -> list[dict[str, Any]]:
            return [dict(row) for row in await read_verdicts(engine, since_us=since_us)]

        transport = httpx.ASGITransport(build_app(session, read))
        async with httpx.AsyncClient(transport=transport, base_url=session.origin) as http:
            yield Visitor(session, http)


async def test_the_page_and_its_files_are_served(visitor: Visitor) -> None:
    """Page, rows, thumbnails and images; the page may talk to its own server only."""
    page = await visitor.get("")
    assert (page.status_code, "connect-src 'self'" in page.text) == (200, True)
    for name in visitor.session.current.files:
        assert (await visitor.get(name)).status_code == 200, name


@pytest.mark.parametrize(
    "path", ["ledger.db", "secret.txt", "../secret.txt", "images/../secret.txt", "%2e%2e/secret.txt", "index.html"]
)
async def test_nothing_else_is_served(path: str, visitor: Visitor) -> None:
    """Neither the ledger nor any other file of the folder, however its name is spelled."""
    assert (await visitor.get(path)).status_code == 404


async def test_without_the_token_there_is_nothing(visitor: Visitor) -> None:
    """The address with its token is the key."""
    for path in ("/", "/verdicts", "/index.html", "/wrong/", f"/{visitor.session.token[:-1]}/"):
        assert (await visitor.http.get(path)).status_code == 404


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"localhost.evil.example:{PORT}"]
)
async def test_another_host_name_is_refused(host: str, visitor: Visitor) -> None:
    """A web page that has its own name point to this machine learns nothing."""
    assert (await visitor.get("", Host=host)).status_code == 421


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"http://localhost:{PORT}", "http://127.0.0.1:1"])
async def test_verdicts_from_another_page_are_refused(origin: str, visitor: Visitor) -> None:
    """Nothing is written for a request that another page had the browser send."""
    answer = await visitor.judge({"job_id": JOBS[0].job_id, "verdict": "pick"}, Origin=origin)
    assert answer.status_code == 403
    assert (await visitor.get("verdicts")).json() == {"verdicts": []}


@pytest.mark.parametrize(
    "judgement",
    [
        {"job_id": JOBS[2].job_id, "verdict": "pick"},
        {"job_id": "0" * 64, "verdict": "pick"},
        {"job_id": "../x", "verdict": "pick"},
        {"job_id": JOBS[0].job_id, "verdict": "burn"},
        {"job_id": JOBS[0].job_id, "rating": 6},
        {"job_id": JOBS[0].job_id, "note": "x" * 2_001},
        {"job_id": JOBS[0].job_id, "sql": "x"},
    ],
)
async def test_what_is_no_judgement_is_refused(judgement: dict[str, Any], visitor: Visitor) -> None:
    """Of no image of the batch, or with values that there are not; what came with it is not written either."""
    answer = await visitor.judge({"job_id": JOBS[0].job_id, "verdict": "pick"}, judgement)
    assert answer.status_code in {409, 422}
    assert (await visitor.get("verdicts")).json() == {"verdicts": []}


async def test_the_last_word_counts_and_nothing_is_lost(visitor: Visitor, out: Path) -> None:
    """Two reviewers, and one who changes their mind: each one's last word is told, the last of all counts."""
    one, other = JOBS[0].job_id, JOBS[1].job_id
    await visitor.judge({"job_id": one, "verdict": "pick", "rating": 4}, {"job_id": other, "verdict": "pick"})
    await visitor.judge({"job_id": one, "verdict": "reject", "note": "six\x00 fingers"}, reviewer="bob")
    await visitor.judge({"job_id": other, "verdict": None})
    told = (await visitor.get("verdicts")).json()["verdicts"]
    assert [(row["reviewer"], row["verdict"], row["rating"]) for row in told if row["job_id"] == one] == [
        ("ann", "pick", 4),
        ("bob", "reject", None),
    ]
    async with open_ledger(out) as engine:
        assert await count_verdicts(engine) == {"pick": 0, "reject": 1}


async def test_a_page_that_is_loaded_again_shows_what_came_since(visitor: Visitor, out: Path) -> None:
    """The batch grew, and another command wrote its gallery anew, which removes the scripts of the page before it."""
    await visitor.get("")
    late = succeeded(out, JOBS[2], 2)
    async with open_ledger(out) as engine:
        await execute(engine, update(jobs).where(jobs.c.job_id == JOBS[2].job_id).values(**late, error_kind=None))
    await write_gallery(OutputFolder(out))
    page = await visitor.get("")
    [name] = re.findall(r"[0-9a-z-]+\.js(?=\"])", page.text)
    assert (await visitor.get(f"gallery/rows/{name}")).status_code == 200
    assert (await visitor.get(late["file_name"])).status_code == 200


async def test_a_clock_that_was_turned_back_makes_no_verdict_older(visitor: Visitor, out: Path) -> None:
    """Two processes write: the later word counts, whatever time it is by then."""
    one, early = JOBS[0].job_id, FakeClock(now_s=-3600)
    await visitor.judge({"job_id": one, "verdict": "pick"})
    await judging.judge_ids(OutputFolder(out), [one], reviewer="bob", verdict="reject", clock=early.clock)
    await judging.judge_ids(OutputFolder(out), [one], reviewer="bob", verdict="pick", clock=FakeClock(now_s=60).clock)
    await visitor.judge({"job_id": one, "verdict": "reject"})
    assert [row["reviewer"] for row in (await visitor.get("verdicts")).json()["verdicts"]] == ["bob", "ann"]


async def test_a_read_only_ledger_is_told_before_anything_is_made(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts would be lost; so no page is served, and no thumbnail written."""
    await write_batch(out, [(JOBS[0], None)])
    before = {path.name for path in out.rglob("*")}
    monkeypatch.setattr(connect, "is_writable", lambda _: False)
    with pytest.raises(OutputError, match="may only be read"):
        await serve_review(OutputFolder(out), port=0, reviewer="ann", ready=pytest.fail)
    assert {path.name for path in out.rglob("*")} == before


async def test_the_page_asks_for_what_is_new(visitor: Visitor) -> None:
    """Since an instant only; what is none is refused."""
    await visitor.judge({"job_id": JOBS[0].job_id, "verdict": "pick"})
    await visitor.judge({"job_id": JOBS[1].job_id, "verdict": "pick"})
    last = (await visitor.get("verdicts")).json()["verdicts"][-1]
    assert (await visitor.get(f"verdicts?since={last['at_us']}")).json()["verdicts"] == [last]
    for text in ("x", "-1", "9" * 19):
        assert (await visitor.get(f"verdicts?since={text}")).status_code == 422


@pytest.mark.parametrize(
    "failure",
    [
        BatchStopped("ledger", "no space left"),
        OperationalError("SELECT 1", {}, sqlite3.OperationalError("disk I/O error")),
        ConnectionRefusedError(111, "Connection refused"),
    ],
)
async def test_a_ledger_that_fails_is_told_and_refuses_nothing(
    failure: Exception, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page gives up what is refused (409, 422); where the ledger fails, it is 503, so that the page says it again later."""

    async def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(judging, "record_verdicts", fail)
    answer = await visitor.judge({"job_id": JOBS[0].job_id, "verdict": "pick"})
    assert (answer.status_code, bool(answer.text)) == (503, True)
