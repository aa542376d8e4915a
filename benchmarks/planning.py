"""A manifest of a million rows: checked, written into a ledger, and the ledger written out as a table."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.contenders import imagen
from benchmarks.measuring import measure
from benchmarks.results import Row
from benchmarks.services import build_private_environ, make_empty_folder
from benchmarks.work import Work
from tasks.core.paths import get_ledger_path
from tasks.ledger.database.connect import open_ledger
from tasks.metadata.write import FILE_NAME, write_metadata
from tasks.runs.plan_run import plan_run
from tasks.runs.request import RunRequest
from tasks.runs.run import open_run
from tasks.store.output.folder import OutputFolder

PART = "planning"
PLAN, LEDGER, METADATA = "imagen plan", "jobs into the ledger", "metadata.parquet"
NOBODY = "http://127.0.0.1:1"
FINISHED = """
UPDATE jobs SET state = 'succeeded', attempts = 1, latency_ms = 1000, cost_micros = 3000, cost_source = 'priced',
  file_name = 'images/' || substr(job_id, 1, 2) || '/' || id || '-' || substr(job_id, 1, 12) || '.png',
  width = 1024, height = 1024, format = 'png', bytes = 200000, sha256 = job_id, prediction_id = substr(job_id, 1, 26),
  model_version = 'hidden', predict_time_s = 0.8, completed_at_us = created_at_us + 1000000
"""
"""A table of finished jobs is the largest there is."""


def measure_planning(rows: int, *, scratch: Path) -> Iterator[Row]:
    """One row for each of the three steps."""
    with make_empty_folder(scratch / "work") as folder:
        environ = build_private_environ(scratch / "home")
        imagen.prepare(Work(jobs=rows, in_flight=64, api_url=NOBODY, folder=str(folder)))
        out = imagen.get_out(folder)
        manifest, config = str(imagen.get_manifest(folder)), str(imagen.get_config(folder))
        steps = {
            PLAN: ("benchmarks.command", "plan", manifest, "--config", config, "--json"),
            LEDGER: (__name__, LEDGER, str(out), manifest, config),
            METADATA: (__name__, METADATA, str(out)),
        }
        for subject, (module, *arguments) in steps.items():
            if subject == METADATA:
                _finish(out)
            measured = measure(module, *arguments, environ=environ, folder=folder)
            figures = {
                "total_s": [measured.wall_s],
                "cpu_s": [measured.cpu_s],
                "peak_mb": [measured.peak_bytes / 1e6],
            }
            yield Row(part=PART, case=f"{rows:,} rows", subject=subject, figures=figures)
        if (written := pq.read_metadata(out / FILE_NAME).num_rows) != rows:
            raise RuntimeError(f"the table has {written} rows, not {rows}")


def run(step: str, out: str, *arguments: str) -> None:
    """One step, in the process that is measured."""
    asyncio.run(_write_table(Path(out)) if step == METADATA else _write_plan(Path(out), *arguments))


async def _write_plan(out: Path, manifest: str, config: str) -> None:
    async with open_run(RunRequest(out=str(out), manifest=manifest, config=config)) as opened:
        await plan_run(opened)


async def _write_table(out: Path) -> None:
    async with open_ledger(out) as engine:
        await write_metadata(engine, OutputFolder(out))


def _finish(out: Path) -> None:
    with closing(sqlite3.connect(get_ledger_path(out))) as db, db:
        db.execute(FINISHED)
