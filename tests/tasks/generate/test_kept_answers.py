"""An answer that was paid for and cannot be read is kept, stops the batch, and is read again for nothing."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import JobError, UnreadableAnswer
from tasks.core.records import Job, Prediction
from tasks.generate.jobs import generate_range
from tasks.generate.kept_answers import reread_answers
from tasks.ledger.queries import count_jobs
from tasks.store.chunks import name_foreign_format
from tasks.usage.groups import sum_groups
from tasks.usage.push import push_usage
from tasks.usage.query import UsageQuery
from tasks.usage.report import read_groups
from tests.support.factories import make_job
from tests.support.scripted_backend import PRICE_MICROS, ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, ledger, open_scripted, run

RAW = b'{"data": [{"picture": "iVBORw0K"}]}'
JOBS = [make_job(number) for number in range(5)]


class RereadingBackend(ScriptedBackend):
    """A scripted backend that can read a kept answer, once its configuration is right."""

    is_right = True

    def reread(self, job: Job, raw: bytes) -> Prediction:
        if not self.is_right:
            raise JobError("there is no image in it")
        assert raw == RAW
        return Prediction(prediction_id=f"{job.id}/1", cost_micros=PRICE_MICROS, cost_source="priced")


def build_error(cost_micros: int | None = PRICE_MICROS) -> UnreadableAnswer:
    """The error of an answer without an image where the configuration says that it is."""
    return UnreadableAnswer("no image at /data/0/b64_json", raw=RAW, cost_micros=cost_micros)


@pytest.mark.parametrize("call", ["on_submit", "on_wait", "on_fetch"])
async def test_the_first_unreadable_answer_stops_the_batch_and_is_kept(out: Path, call: str) -> None:
    """One image is paid for, not twenty: the reason, the place of the answer and the command are in the message."""
    backend = ScriptedBackend(created_anyway={job.id or "" for job in JOBS})
    getattr(backend, call)["row-0"] = deque([build_error()])
    async with open_scripted(out, backend, JOBS, concurrency=1) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert (batch.stop.cause.exit_code, batch.stop.cause.reason) == (3, "unreadable_answer")
        assert all(part in str(batch.stop.cause) for part in ("/data/0/b64_json", f"{out}/answers/", "--reread"))
    assert sum(backend.billed.values()) <= (2 if call == "on_fetch" else 1)
    [kept] = (out / "answers").iterdir()
    assert kept.read_bytes() == RAW
    [(state, kind, message, cost_micros)] = ledger(
        out, "SELECT state, error_kind, error_message, cost_micros FROM jobs WHERE id = 'row-0'"
    )
    assert (state, kind, cost_micros) == ("failed", "unreadable_answer", PRICE_MICROS)
    assert kept.name in str(message)


async def test_what_is_kept_is_read_again_without_paying(out: Path) -> None:
    """The image is stored with its cost, its answer is removed, and nothing was sent."""
    backend = RereadingBackend()
    backend.on_wait["row-0"] = deque([build_error()])
    await run(out, backend, JOBS[:1])
    async with open_scripted(out, backend, JOBS[:1]) as batch:
        backend.is_right = False
        assert await reread_answers(batch) == 0
        assert ledger(out, "SELECT state, error_kind FROM jobs") == [("failed", "unreadable_answer")]
        backend.is_right = True
        assert await reread_answers(batch) == 1
        assert await reread_answers(batch) == 0
        counts = await count_jobs(batch.engine)
    assert (counts.succeeded, counts.cost_micros, counts.errors) == (1, PRICE_MICROS, {})
    assert backend.calls["submit"] == 1
    assert list((out / "answers").iterdir()) == []
    assert ledger(out, "SELECT number, state, cost_micros FROM attempts") == [(1, "succeeded", PRICE_MICROS)]


async def test_a_usage_row_that_was_pushed_follows_an_answer_that_is_read_later(out: Path, tmp_path: Path) -> None:
    """Its failure becomes an image of the same cost: totals stay the bill, and no row is counted twice."""
    backend, settings = RereadingBackend(), UsageSettings(path=str(tmp_path / "usage.db"))
    backend.on_wait["row-0"] = deque([build_error(None)])
    totals = []
    async with open_scripted(out, backend, JOBS[:2], concurrency=1) as batch:
        await generate_range(batch, *EVERYTHING)
        await push_usage(batch.engine, settings, out=out, clock=batch.clock)
        totals.append(sum_groups(await read_groups(settings, UsageQuery())))
        assert await reread_answers(batch) == 1
        await push_usage(batch.engine, settings, out=out, clock=batch.clock)
        totals.append(sum_groups(await read_groups(settings, UsageQuery())))
        counts = await count_jobs(batch.engine)
    before, after = totals
    assert (before.failures, before.cost_unknown) == (1, 1)
    assert (after.images, after.failures, after.cost_unknown) == (before.images + 1, 0, 0)
    assert after.cost_micros == counts.cost_micros == backend.billed.total() * PRICE_MICROS


async def test_an_answer_of_an_attempt_that_is_not_the_last_is_left_alone(out: Path) -> None:
    """A job that has its image by now, a file of another name and a job that is gone change nothing."""
    backend = RereadingBackend()
    await run(out, backend, JOBS[:1])
    (out / "answers").mkdir()
    for name in (f"{JOBS[0].job_id}-1.bin", f"{'0' * 64}-1.bin", "../../notes.bin".replace("/", "_"), "x.bin"):
        (out / "answers" / name).write_bytes(b"garbage")
    async with open_scripted(out, backend, JOBS[:1]) as batch:
        assert await reread_answers(batch) == 0
    assert backend.calls["fetch"] == 1


async def test_an_unreadable_answer_that_costs_nothing_fails_its_job_only(out: Path) -> None:
    """A local server is asked on; there is nothing to keep."""
    backend = ScriptedBackend()
    backend.on_wait["row-0"] = deque([build_error(0)])
    counts = await run(out, backend, JOBS)
    assert (counts.failed, counts.succeeded) == (1, 4)
    assert not (out / "answers").exists()


class DrawingBackend(ScriptedBackend):
    """A backend whose model answers with a drawing."""

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        return SVG


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>'


async def test_a_whole_file_of_another_format_is_kept_not_thrown_away(out: Path) -> None:
    """It was paid for and comes no other way: its name says what it is, and the batch stops at the first one."""
    async with open_scripted(out, DrawingBackend(), JOBS, concurrency=1) as batch:
        await generate_range(batch, *EVERYTHING)
        assert batch.stop.cause is not None
        assert "SVG" in str(batch.stop.cause)
    assert {kept.read_bytes() for kept in (out / "answers").iterdir()} == {SVG}
    assert ledger(out, "SELECT DISTINCT error_kind, cost_micros FROM jobs WHERE state = 'failed'") == [
        ("unreadable_answer", PRICE_MICROS)
    ]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (SVG, "SVG"),
        (b"\xef\xbb\xbf\n<svg>", "SVG"),
        (b"II*\0" + bytes(8), "TIFF"),
        (b"BM" + bytes(60), "BMP"),
        (bytes(4) + b"ftypheic", "HEIC or a video"),
        (bytes(4) + b"ftypavif", None),
        (b"<html><body>502</body></html>", None),
        (b'{"error": "no"}', None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
    ],
)
def test_formats_that_are_not_stored_are_known_by_their_beginning(data: bytes, name: str | None) -> None:
    """A page, a text and a broken image are none of them: they may come right when they are fetched again."""
    assert name_foreign_format(data) == name
