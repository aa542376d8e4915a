"""Throughput under faults: the engine against a service that loses answers, beside the same service without faults.

`python -m benchmarks.faults [JOBS]` prints a line for each kind of trouble. The engine runs in this process without
Prefect, the service in a process of its own on the same machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.contenders import imagen
from benchmarks.simulator import build_unlimited_settings, start_simulator
from benchmarks.work import TOKEN, Work
from tasks.generate.jobs import generate_range
from tasks.ledger.database.schema import jobs
from tasks.ledger.database.transactions import fetch_rows
from tasks.ledger.open_jobs import Shard
from tasks.ledger.queries import count_jobs
from tasks.orchestration.shard_window import run_backends
from tasks.runs.plan_run import plan_run
from tasks.runs.request import RunRequest
from tasks.runs.run import open_run

JOBS, IN_FLIGHT, LATENCY_S = 3_000, 128, 0.3
SHARD = 50
STEADY = (0.1, 0.8)
"""Part of the images whose rate is called steady: the last lost creates are looked for when all others have ended."""
READS_PER_MIN = 3_000
"""Requests a minute that an account may make besides creates; lists count against it."""
CASES: Mapping[str, Sequence[str]] = {
    "none": [],
    "2 % dropped before creation": ["drop_before_create:0.02"],
    "2 % dropped after creation": ["drop_after_create:0.02"],
    "2 % failed (PA)": ["failed_pa:0.02"],
    "1 % of each": [
        "server_error_500:0.01",
        "timeout_504_after_create:0.01",
        "drop_before_create:0.01",
        "drop_after_create:0.01",
        "poll_500:0.01",
        "failed_pa:0.01",
    ],
}


def measure(number: int, faults: Sequence[str]) -> Mapping[str, Any]:
    """Generate so many jobs once; images a second, list calls a minute, and what became of the jobs."""
    with (
        tempfile.TemporaryDirectory(prefix="imagen-") as folder,
        start_simulator(build_unlimited_settings(latency_s=LATENCY_S, picture_kb=20), *faults) as service,
    ):
        work = Work(jobs=number, in_flight=IN_FLIGHT, api_url=service.url, folder=folder)
        imagen.prepare(work)
        config = imagen.get_config(Path(folder))
        settings = json.loads(config.read_text()) | {"stop": {"error_rate": 1.0, "error_window": 10_000}}
        config.write_text(json.dumps(settings))
        wall_s, steady_per_s, states = asyncio.run(_generate(work))
        truth = service.truth()
    return {
        "images_per_s": states["succeeded"] / wall_s,
        "steady_per_s": steady_per_s,
        "lists_per_min": truth["requests"].get("list", 0) / wall_s * 60,
        "duplicates": truth["duplicates_billed"],
        **states,
    }


async def _generate(work: Work) -> tuple[float, float, dict[str, int]]:
    folder = Path(work.folder)
    request = RunRequest(
        out=str(imagen.get_out(folder)), manifest=str(imagen.get_manifest(folder)), config=imagen.get_config(folder)
    )
    async with open_run(request) as run:
        selection = await plan_run(run)

        async def generate(shard: Shard) -> None:
            await generate_range(run.batch, shard.first, shard.last, shard.planned_run, shard.backend)

        begun_s = time.monotonic()
        await run_backends(run.batch, selection, generate, size=SHARD)
        wall_s = time.monotonic() - begun_s
        counts = await count_jobs(run.batch.engine)
        completed = select(jobs.c.completed_at_us).where(jobs.c.completed_at_us.is_not(None))
        ends_us = sorted(row.completed_at_us for row in await fetch_rows(run.batch.engine, completed))
    first, last = int(len(ends_us) * STEADY[0]), int(len(ends_us) * STEADY[1])
    steady_per_s = (last - first) / ((ends_us[last] - ends_us[first]) / 1e6)
    return wall_s, steady_per_s, {"succeeded": counts.succeeded, "failed": counts.failed, "held": counts.held}


def main() -> None:
    """Measure every case and print a table."""
    os.environ["REPLICATE_API_TOKEN"] = TOKEN
    number = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    free_of_faults: Mapping[str, Any] | None = None
    print(f"{number:,} jobs, {IN_FLIGHT} in flight, {LATENCY_S} s, load {os.getloadavg()[0]:.1f}")  # noqa: T201
    for case, faults in CASES.items():
        found = measure(number, faults)
        free_of_faults = free_of_faults or found
        share, steady = (found[name] / free_of_faults[name] for name in ("images_per_s", "steady_per_s"))
        print(  # noqa: T201
            f"{case:28} {found['images_per_s']:6.1f} images/s ({share:.2f} of none), "
            f"steady {found['steady_per_s']:6.1f} ({steady:.2f})  "
            f"{found['lists_per_min'] / READS_PER_MIN:6.1%} of the reads allowed for lists  "
            f"{found['failed']} failed, {found['held']} held, {found['duplicates']} billed twice",
            flush=True,
        )


if __name__ == "__main__":
    main()
