"""Claims on predictions in one process: before any other task runs, and one for each attempt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.core.display import Display, current_display
from tasks.generate.prediction_ids import KnownPredictions
from tasks.ledger.accounts.predictions import Claim
from tests.support.factories import START_US, make_job, open_batch_with
from tests.support.scripted_backend import PRICE_MICROS


@dataclass
class Warnings(Display):
    """Keeps what is warned of."""

    said: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


def claim(prediction_id: str, job_id: str, number: int = 1) -> Claim:
    """A claim of an attempt."""
    return Claim(account="a", prediction_id=prediction_id, job_id=job_id, number=number)


async def test_of_two_claims_at_once_one_counts(out: Path) -> None:
    """An answer and a look-up that meet: whoever comes first has it, before anything is awaited."""
    async with open_batch_with(out, [make_job()]) as batch:
        claims = [claim("p", "answered"), claim("p", "looked up"), claim("p", "answered")]
        assert await asyncio.gather(*map(batch.ids.claim, claims)) == [True, False, True]


async def test_ids_of_this_ledger_are_taken_whatever_their_prompt(out: Path) -> None:
    """Of another job, another attempt of the same one, or of this process; the attempt's own is not."""
    jobs = [make_job(n) for n in range(2)]
    async with open_batch_with(out, jobs) as batch:
        for job, prediction_id in zip(jobs, ("p0", "p1"), strict=True):
            await batch.journal.record_intent(job, number=1, reserved_micros=PRICE_MICROS, now_us=START_US)
            async with batch.engine.begin() as db:
                await db.exec_driver_sql(
                    f"UPDATE attempts SET prediction_id = '{prediction_id}' WHERE job_id = '{job.job_id}'"
                )
        await batch.ids.claim(claim("p2", "other"))
        known = KnownPredictions(ids=batch.ids, account="a", job=jobs[0], number=1)
        again = KnownPredictions(ids=batch.ids, account="a", job=jobs[0], number=2)
        ids = ["p0", "p1", "p2", "p3"]
        assert await known.find_taken(ids) == {"p1", "p2"}
        assert await again.find_taken(ids) == {"p0", "p1", "p2"}


async def test_what_is_not_known_of_other_batches_is_said_once(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state folder that cannot be written: one warning, at the start of what depends on it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    display = Warnings()
    token = current_display.set(display)
    try:
        async with open_batch_with(out, [make_job()]) as batch:
            for _ in range(2):
                batch.ids.warn_where_alone()
    finally:
        current_display.reset(token)
    assert len(display.said) == 1
    assert "other batches on this account are not known" in display.said[0]
