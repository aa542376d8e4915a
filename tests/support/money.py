"""The four accounts of one batch's money: the simulator's bill, the ledger, the usage table and metadata.parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.configuration.sections import UsageSettings
from tasks.core.money import MICROS_PER_USD
from tasks.ledger.queries import count_jobs
from tasks.metadata.write import write_metadata
from tasks.store.output.folder import OutputFolder
from tasks.usage.groups import sum_groups
from tasks.usage.push import push_usage
from tasks.usage.query import UsageQuery
from tasks.usage.report import read_groups


async def add_up(engine: AsyncEngine, out: Path, bill_usd: float, *, usage: Path | None = None) -> dict[str, int]:
    """The sums of a batch that has ended, in micro-dollars, without what is of unknown cost.

    The usage rows and the metadata table are written for it, and each must agree with the ledger in its counts too.

    Args:
        engine: Of its ledger.
        out: Its folder.
        bill_usd: Of the simulator.
        usage: The usage table that has its earlier rows; one beside the folder, unless given.
    """
    counts = await count_jobs(engine)
    settings = UsageSettings(path=str(usage or out.with_name(f"{out.name}-usage.db")))
    report = await push_usage(engine, settings, out=out, clock=Clock())
    total = sum_groups(await read_groups(settings, UsageQuery(by=("status", "batch"))))
    await write_metadata(engine, OutputFolder(out))
    table = sum(row["cost_usd"] or 0 for row in pq.read_table(out / "metadata.parquet").to_pylist())
    assert report.pending == 0
    assert (total.images, total.cost_unknown) == (counts.succeeded, counts.cost_unknown)
    return {
        "bill": round(bill_usd * MICROS_PER_USD),
        "ledger": counts.cost_micros,
        "usage": total.cost_micros,
        "table": round(table * MICROS_PER_USD),
    }
