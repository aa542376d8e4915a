"""Asking a judge about images: each is paid for once, within the batch's budget, and a killed command goes on."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from sqlalchemy import RowMapping

from tasks.backends.client.answers import parse_json
from tasks.core.errors import (
    Ambiguous,
    BadImage,
    BatchStopped,
    JobError,
    NotCreated,
    UnreadableFile,
)
from tasks.core.judge import JudgeSettings
from tasks.core.money import to_micros
from tasks.core.records import JobState
from tasks.generate.accounts.attempt_money import AttemptMoney, reserve_money
from tasks.generate.batch import Batch
from tasks.ledger.job_rows import build_job
from tasks.ledger.usage import FIRST_CALL
from tasks.metadata.columns import build_plain_row
from tasks.scores.judge.answer import parse_judgement, read_cost_micros
from tasks.scores.judge.calls import begin_call, build_result, end_call, read_calls
from tasks.scores.judge.endpoint import Endpoint, open_endpoint
from tasks.scores.judge.request import build_body, fill_question, hash_question
from tasks.scores.measure import Skipped

JUDGED = "judged"
"""End of a call that has its answer."""


@dataclass(frozen=True, slots=True)
class Again:
    """Calls that are paid for once more because the user says so."""

    failed: bool = False
    held: bool = False


@dataclass(slots=True)
class Judge:
    """One judge, open for a batch."""

    name: str
    settings: JudgeSettings
    batch: Batch
    endpoint: Endpoint
    again: Again = field(default_factory=Again)
    ends: Counter[str] = field(default_factory=Counter)
    """Calls of this command by their end: `judged`, or an error kind; those of earlier ones that stay without an answer too."""
    skipped: dict[str, Skipped] = field(default_factory=dict)
    """Images that cannot be asked about, by job_id."""
    _places: asyncio.Semaphore = field(init=False)
    """Of all pages together: in a run, each image that lands is a page of its own."""

    def __post_init__(self) -> None:
        """Bound the calls at once; workers share them."""
        self._places = asyncio.Semaphore(max(1, int(self.settings.concurrency * self.batch.share)))

    @property
    def most_micros(self) -> int:
        """The most that one call costs, in millionths of a dollar."""
        return to_micros(self.settings.price_usd) or 0

    async def judge_page(self, rows: Sequence[RowMapping]) -> set[str]:
        """Ask about the images of a page that have no answer to this question yet; gives the jobs of those that got one."""
        known = await read_calls(self.batch.engine, [row["job_id"] for row in rows])
        judged: set[str] = set()

        async def one(row: RowMapping) -> None:
            async with self._places:
                if not self.batch.stop.requested and await self._judge(row, known.get(row["job_id"], [])):
                    judged.add(row["job_id"])

        async with asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(one(row))
        return judged

    async def _judge(self, row: RowMapping, before: Sequence[Mapping[str, Any]]) -> bool:
        """Ask about one image; True where an answer came."""
        try:
            question = fill_question(self.settings, build_plain_row(row))
            asked = hash_question(self.settings, question, row["sha256"])
            if not await self._is_to_ask(asked, [call for call in before if call["backend"] == self.name]):
                return False
            data = await asyncio.to_thread(self._read, row)
            body = await asyncio.to_thread(build_body, self.settings, question, data)
            number = max((call["number"] for call in before), default=FIRST_CALL - 1) + 1
            return await self._pay(row, (row["job_id"], number), question, asked, body)
        except (UnreadableFile, BadImage) as exc:
            self.skipped[row["job_id"]] = Skipped(row["job_id"], str(row["file_name"]), str(exc))
        except BatchStopped as stopped:
            self.batch.stop.stop(stopped)
        return False

    def _read(self, row: RowMapping) -> bytes:
        data = self.batch.out.read(str(row["file_name"]))
        if data is None:
            raise UnreadableFile("the file is missing")
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise UnreadableFile("the file is not the one that was made: it was changed afterwards")
        return data

    async def _is_to_ask(self, asked: str, before: Sequence[Mapping[str, Any]]) -> bool:
        """True unless this very question was asked about this very file, and what became of it stands."""
        same = [call for call in before if call["prediction_id"] == asked]
        if not same:
            return True
        last = same[-1]
        state = JobState(last["state"])
        if state is JobState.SUBMITTING:
            # A kill came between the call and its answer: it may be on the bill.
            lost = Ambiguous("the command was killed before the answer came", cost_micros=None)
            await self._end((last["job_id"], last["number"]), last["started_at_us"], None, lost, JobState.HELD)
            state = JobState.HELD
        if state is JobState.SUCCEEDED:
            return False
        if last["error_kind"] == NotCreated.kind:
            # The judge took no calls at all, as with a wrong key: nothing was asked, and nothing paid.
            return True
        may = self.again.held if state is JobState.HELD else self.again.failed
        if not may:
            self.ends[last["error_kind"] or Ambiguous.kind] += 1
        return may

    async def _pay(
        self, row: RowMapping, key: tuple[str, int], question: str, asked: str, body: dict[str, Any]
    ) -> bool:
        reservation, started_us = await self._begin(row, key, asked)
        cost_micros: int | None = None
        try:
            answer = await self.endpoint.send(asked, body)
            cost_micros, results = self._read_answer(answer, question)
            stored = build_result(row["sha256"], self.name, results)
            await self._end(key, started_us, cost_micros, stored, JobState.SUCCEEDED)
        except BatchStopped as stopped:
            cost_micros = 0
            await self._end(key, started_us, 0, NotCreated(str(stopped)), JobState.FAILED)
            raise
        except JobError as error:
            cost_micros = error.cost_micros
            state = JobState.HELD if isinstance(error, Ambiguous) else JobState.FAILED
            await self._end(key, started_us, cost_micros, error, state)
            self.ends[error.error_kind] += 1
            self.batch.watch.note(failed=True)
            return False
        finally:
            # Cancelled: the call may be on the bill.
            reservation.settle(cost_micros)
        self.ends[JUDGED] += 1
        self.batch.watch.note(failed=False)
        return True

    async def _begin(self, row: RowMapping, key: tuple[str, int], asked: str) -> tuple[AttemptMoney, int]:
        """Set the money aside, and put the intent on disk; gives the instant of that too."""
        # Money first: a turn that is waited for in vain would be lost to others.
        job, batch = replace(build_job(row), backend=self.name, model=self.settings.model), self.batch
        reservation = await reserve_money(
            batch.budget, batch.caps, batch.overruns, job, self.most_micros, number=key[1], images=0
        )
        try:
            await self.endpoint.rate.acquire()
            await batch.caps.renew(reservation.caps)
            batch.stop.check()
            now_us, most_micros = batch.clock.now_us(), reservation.most_micros
            await begin_call(batch.engine, key, judge=self.name, name=asked, reserved_micros=most_micros, now_us=now_us)
        except BatchStopped:
            reservation.settle(0)
            raise
        return reservation, now_us

    def _read_answer(self, answer: httpx.Response, question: str) -> tuple[int | None, Mapping[str, Any]]:
        try:
            body = parse_json(answer)
        except ValueError as exc:
            # Something was answered, so something was billed: at most the price of a call.
            raise JobError(f"the answer: {exc}", kind="unreadable_answer", cost_micros=self.most_micros) from exc
        cost_micros = read_cost_micros(self.settings, body)
        judgement = parse_judgement(self.settings, body, cost_micros=cost_micros)
        return cost_micros, judgement.as_results(self.name, question)

    async def _end(
        self, key: tuple[str, int], started_us: int, cost_micros: int | None, outcome: Any, state: JobState
    ) -> None:
        await end_call(
            self.batch.engine,
            key,
            started_us=started_us,
            now_us=self.batch.clock.now_us(),
            cost_micros=cost_micros,
            outcome=outcome,
            state=state,
        )


@asynccontextmanager
async def open_judge(name: str, settings: JudgeSettings, batch: Batch, again: Again) -> AsyncIterator[Judge]:
    """A judge with its connections for the duration of the block.

    Raises:
        ConfigError: Its key is not set, or would travel unprotected.
    """
    async with open_endpoint(name, settings, batch) as endpoint:
        yield Judge(name, settings, batch, endpoint, again)
