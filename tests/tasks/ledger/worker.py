"""A worker of a batch as a process: claims a range by leases and brings it to an end, or only claims.

Called as: python -c WORKER generate|claim OUT LEASE_S LATENCY_S
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings
from tasks.generate.batch import open_batch
from tasks.generate.workers.claims import ClaimRange, Claims
from tasks.ledger.database import postgresql
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.leases import LeaseTerms, claim, make_owner
from tasks.store.output.folder import OutputFolder
from tests.support.factories import share_batch

WORKER = "from tests.tasks.ledger.worker import main; main()"
LAST = 10**6
PORTION = 7


async def generate(out: Path, terms: LeaseTerms, latency_s: float) -> None:
    """Every open job, two at a time, as soon as nobody else holds it."""
    backend = {"type": "sketch", "latency_s": latency_s, "concurrency": 2}
    settings = Settings(backends={"sketch": BackendSettings.model_validate(backend)})
    async with (
        open_ledger(out) as engine,
        open_batch(OutputFolder(out), engine, settings, budget_micros=None) as batch,
        share_batch(batch, terms) as leases,
    ):
        await Claims(batch, leases).work(ClaimRange(first=0, last=LAST))
        say(f"generated {batch.tally.succeeded}")


async def take(out: Path, terms: LeaseTerms) -> None:
    """Claim in small portions and print what came; begins when standard input is closed."""
    async with open_ledger(out) as engine:
        say("ready")
        await asyncio.to_thread(sys.stdin.read)
        while claimed := await claim(engine, 0, LAST, terms, at_most=PORTION):
            say("\n".join(entry.job.job_id for entry in claimed))


def say(text: str) -> None:
    """Tell the test."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Do what the arguments say."""
    what, out, lease_s, latency_s = sys.argv[1:]
    postgresql.STUCK_S = 2  # a worker that a test stops in a transaction keeps the others waiting for that long
    terms = LeaseTerms(owner=make_owner(), lease_s=float(lease_s), send_margin_s=float(lease_s) / 4)
    asyncio.run(generate(Path(out), terms, float(latency_s)) if what == "generate" else take(Path(out), terms))
