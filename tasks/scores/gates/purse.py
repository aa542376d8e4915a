"""The money that rerolls may take: what the cap leaves when everything that was asked for is made and judged."""

from __future__ import annotations

from tasks.core.gates import sum_judge_prices
from tasks.core.records import JobState
from tasks.generate.batch import Batch
from tasks.ledger.open_jobs import EVERYTHING, find_open_jobs, list_shards
from tasks.ledger.queries import sum_committed_micros
from tasks.ledger.runs import get_last_run
from tasks.manifest.row_gates import RowGates

ESTIMATE_PAGE_JOBS = 2_000


async def compute_purse(batch: Batch, gates: RowGates) -> int | None:
    """The cap less what is spent or reserved and the most that open jobs can cost; None where there is no cap.

    What was asked for comes first: no reroll takes the money of an image that has not been made once, nor of its judges.
    """
    run = await get_last_run(batch.engine)
    if run is None or run.start.budget_micros is None:
        return None
    left = run.start.budget_micros - await sum_committed_micros(batch.engine)
    async for shard in list_shards(batch.engine, ESTIMATE_PAGE_JOBS, EVERYTHING):
        for entry in await find_open_jobs(batch.engine, shard.first, shard.last):
            left -= sum_judge_prices(gates.find(entry.job.extra), batch.settings.scores)
            if entry.state is JobState.PLANNED:
                left -= batch.backend(entry.job.backend).estimate(entry.job).most_micros or 0
    return left
