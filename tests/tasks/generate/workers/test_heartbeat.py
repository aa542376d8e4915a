"""How the processes of a run hear of each other: stops both ways, failures of all workers together, and progress."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.configuration.sections import StopSettings
from tasks.core.errors import BatchStopped
from tasks.generate.stop import StopSignal
from tasks.generate.tally import Tally
from tasks.generate.workers import heartbeat
from tasks.generate.workers.heartbeat import Heartbeat
from tasks.generate.workers.start import begin_fleet
from tasks.ledger.database.transactions import run_transaction
from tests.tasks.generate.workers.conftest import RUN


def process(ledger: AsyncEngine) -> tuple[Heartbeat, StopSignal]:
    """A process of the run, and its switch."""
    stop = StopSignal()
    return Heartbeat(ledger, run=RUN, stop=stop, limits=StopSettings(error_rate=0.5, error_window=4)), stop


async def test_ctrl_c_reaches_every_worker(ledger: AsyncEngine) -> None:
    """The run that sent the workers drains, and with their next beat so do they."""
    (sender, sent_stop), (worker, stop) = process(ledger), process(ledger)
    await worker.send(Tally())
    assert not stop.requested
    sent_stop.drain()
    await sender.receive(Tally())
    await worker.send(Tally())
    assert stop.interrupted


async def test_what_stops_one_worker_stops_all(ledger: AsyncEngine) -> None:
    """A refused token at one of them: the reason and its words reach the others and the run, and the first one counts."""
    (worker, stop), (other, other_stop), (sender, sent_stop) = process(ledger), process(ledger), process(ledger)
    stop.stop(BatchStopped("token", "refused"))
    await worker.send(Tally())
    await other.send(Tally())
    await sender.receive(Tally())
    assert [(str(each.cause), each.cause.reason) for each in (other_stop, sent_stop) if each.cause] == [
        ("refused", "token")
    ] * 2


async def test_failures_count_over_all_workers(ledger: AsyncEngine) -> None:
    """Two of the last four jobs failed, one at each worker: the batch stops."""
    (one, first), (other, second) = process(ledger), process(ledger)
    for beat in (one, other):
        beat.note(failed=True)
        beat.note(failed=False)
    await one.send(Tally())
    assert not first.requested
    await other.send(Tally())
    assert second.cause is not None
    assert second.cause.reason == "error_rate"


async def test_the_run_sees_what_all_did(ledger: AsyncEngine) -> None:
    """Pictures, failures and dollars add up, each told once."""
    (one, _), (other, _), (sender, _) = process(ledger), process(ledger), process(ledger)
    tally = Tally(succeeded=2, failed=1, cost_micros=50)
    await one.send(tally)
    tally.succeeded += 1
    await one.send(tally)
    await other.send(Tally(succeeded=1, cost_unknown=1))
    seen = Tally()
    await sender.receive(seen)
    assert seen == Tally(succeeded=4, failed=1, cost_micros=50, cost_unknown=1, committed_micros=0)


async def test_workers_of_a_run_that_is_over_stop(ledger: AsyncEngine) -> None:
    """The run that sent them was killed and the batch goes on with another: they let it."""
    worker, stop = process(ledger)
    await begin_fleet(ledger, run=RUN + 1)
    await worker.send(Tally())
    assert stop.interrupted


async def test_a_commit_whose_answer_was_lost_counts_once(ledger: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL goes away with the answer: the same news sent again, at once or a second later, change no number."""

    async def twice(engine: AsyncEngine, work: Any) -> Any:
        await run_transaction(engine, work)
        return await run_transaction(engine, work)

    async def lost(engine: AsyncEngine, work: Any) -> Any:
        await run_transaction(engine, work)
        raise BatchStopped("ledger", "it went away")

    (worker, _), (sender, _) = process(ledger), process(ledger)
    tally, seen = Tally(succeeded=2, failed=1, cost_micros=50), Tally()
    worker.note(failed=True)
    for transaction in (twice, lost, run_transaction):
        monkeypatch.setattr(heartbeat, "run_transaction", transaction)
        await worker.send(tally)
        tally.succeeded += 1
    await sender.receive(seen)
    assert (seen.succeeded, seen.failed, seen.cost_micros) == (4, 1, 50)
