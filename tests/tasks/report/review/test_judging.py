"""Verdicts from lists of ids, in the table and the summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from tasks.core.errors import InputError
from tasks.core.records import JobState
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import VerdictName, jobs
from tasks.ledger.database.transactions import execute
from tasks.metadata.write import write_metadata
from tasks.plan.reroll import write_rerolls
from tasks.report.review.judging import judge_ids, read_ids, read_reviewer
from tasks.report.show import read_record
from tasks.report.summary import find_remarks, summarise
from tasks.runs.request import RunRequest
from tasks.runs.rerolls import find_rerolls, look_for_rerolls
from tasks.store.output.folder import OutputFolder
from tests.support.factories import START_US, FakeClock, make_job
from tests.tasks.report.gallery.batches import write_batch

JOBS = [make_job(number) for number in range(4)]


@pytest.fixture
async def batch(out: Path) -> Path:
    """Four images."""
    await write_batch(out, [(job, None) for job in JOBS])
    return out


def test_a_list_of_ids_is_read_as_people_write_it() -> None:
    """Empty lines, spaces and doubles are no images."""
    assert read_ids(["fox", "", "  owl ", "fox", "\t"]) == ["fox", "owl"]


async def test_picks_are_in_the_table_and_the_summary(batch: Path) -> None:
    """By row id, job_id or file; the columns have them, failed ids write nothing."""
    out, clock = OutputFolder(batch), FakeClock().clock
    names = ["row-0", JOBS[1].job_id[:12]]
    assert await judge_ids(out, names, reviewer="ann", verdict="pick", rating=5, note="best", clock=clock) == 2
    await judge_ids(out, ["row-2"], reviewer="ann", verdict="reject", clock=clock)
    with pytest.raises(InputError, match="nobody"):
        await judge_ids(out, ["row-3", "nobody"], reviewer="ann", verdict="pick", clock=clock)
    async with open_ledger(batch) as engine:
        await write_metadata(engine, out)
        record = (await summarise(engine, out, now_us=START_US)).as_dict()
        assert (await read_record(engine, out, "row-0"))["verdict"] == "pick"
    rows = pq.read_table(batch / "metadata.parquet").to_pylist()
    assert [(row["verdict"], row["rating"], row["note"]) for row in rows] == [
        ("pick", 5, "best"),
        ("pick", 5, "best"),
        ("reject", None, None),
        (None, None, None),
    ]
    assert (record["picked"], record["rejected"]) == (2, 1)


async def test_the_summary_counts_where_reviewers_agree(batch: Path) -> None:
    """Of the images that several picked or rejected; the last word of each counts, and one taken back is none."""
    out, clock = OutputFolder(batch), FakeClock().clock
    said: list[tuple[str, VerdictName | None, list[str]]] = [
        ("ann", "pick", ["row-0", "row-1", "row-2"]),
        ("bob", "reject", ["row-0", "row-2"]),
        ("bob", "pick", ["row-0", "row-1"]),
        ("cleo", "pick", ["row-0", "row-3"]),
        ("cleo", None, ["row-0"]),
    ]
    for reviewer, verdict, names in said:
        await judge_ids(out, names, reviewer=reviewer, verdict=verdict, clock=clock)
    async with open_ledger(batch) as engine:
        record = (await summarise(engine, out, now_us=START_US)).as_dict()
    assert (record["reviewers"], record["judged_by_several"], record["agreed"]) == (3, 3, 2)
    assert "; 3 reviewers agree on 2 of 3 that several judged (67%)" in "\n".join(find_remarks(record))


async def test_a_rejected_image_is_rerolled_once(batch: Path) -> None:
    """One plan for all of them; asked again, an image that has a reroll gets no second one, and an open one is gone on with."""
    await judge_ids(OutputFolder(batch), ["row-1", "row-2"], reviewer="ann", verdict="reject", clock=FakeClock().clock)
    request = RunRequest(out=str(batch), rejected=True)
    async with open_ledger(batch) as engine:
        wanted = await find_rerolls(engine, OutputFolder(batch), request)
        assert [reroll.source for reroll in wanted.rerolls] == [JOBS[1].job_id, JOBS[2].job_id]
        for _ in range(2):
            await write_rerolls(engine, wanted.rerolls, run=2, now_us=START_US)
        record = (await summarise(engine, OutputFolder(batch), now_us=START_US)).as_dict()
        assert (record["total"], record["planned"]) == (6, 2)
        assert (await read_record(engine, OutputFolder(batch), "row-1"))["rerolled_as"] == "row-1-r1"
        # One of them is made; the other is still to do.
        await execute(engine, update(jobs).where(jobs.c.id == "row-1-r1").values(state=JobState.SUCCEEDED))
        again = await find_rerolls(engine, OutputFolder(batch), request)
    assert ([reroll.source for reroll in again.rerolls], again.already) == ([JOBS[2].job_id], 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reroll_where": "latency_ms > 101"}, [2, 3]),
        ({"reroll_ids": ["row-3", "row-0"]}, [0, 3]),
        ({"reroll_ids": ["row-3", "row-0"], "reroll_where": "latency_ms > 101"}, [3]),
        ({"rejected": True, "reroll_where": "latency_ms > 101"}, [2]),
    ],
)
async def test_many_images_are_rerolled_by_condition_and_list(
    changes: dict[str, Any], expected: list[int], batch: Path
) -> None:
    """All that is asked for must hold."""
    await judge_ids(OutputFolder(batch), ["row-1", "row-2"], reviewer="ann", verdict="reject", clock=FakeClock().clock)
    wanted = await look_for_rerolls(OutputFolder(batch), RunRequest(out=str(batch), **changes))
    assert [reroll.source for reroll in wanted.rerolls] == [JOBS[number].job_id for number in expected]


async def test_what_is_too_long_is_refused_in_words(batch: Path) -> None:
    """A note or a name beyond what a page may send is one line that says the bound; the ledger keeps a name as it is read."""
    with pytest.raises(InputError, match=r"--note: 2,001 characters\. A note has at most 2,000"):
        await judge_ids(OutputFolder(batch), ["row-0"], reviewer="ann", verdict="pick", note="x" * 2_001)
    with pytest.raises(InputError, match=r"--reviewer: 101 characters\. A name has at most 100"):
        read_reviewer("x" * 101)
    assert read_reviewer(" a\0\udcff\n") == "a?"
    assert read_reviewer(" ") == read_reviewer(None)
