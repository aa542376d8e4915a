"""A process that counts attempts for its caps and sends none: `python -c RESERVING OUT CALLER JOBS CAPS_DATABASE`.

It tells on standard output that they are counted, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.caps.cap import CapSettings
from tasks.core.clock import Clock
from tasks.core.configuration.settings import Settings
from tasks.generate.accounts.caps import AccountCaps, open_caps
from tasks.ledger.accounts.caps.place import open_counting_place
from tasks.ledger.accounts.copies import settle_identity
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.journal import Journal
from tasks.ledger.lock import lock_folder
from tests.support.factories import make_job, plan_jobs

RESERVING = "from tests.support.reserving import main; main()"
MOST_MICROS = 4_000
CAP_IMAGES = 10


def build_settings(caller: str, caps_database: str | None = None) -> Settings:
    """A cap of ten images for one caller."""
    cap = CapSettings(images=CAP_IMAGES, per="month", caller=caller)
    return Settings.model_validate({"caps": [cap], "caps_database": caps_database})


@asynccontextmanager
async def open_counted(out: Path, settings: Settings, caller: str) -> AsyncIterator[tuple[AsyncEngine, AccountCaps]]:
    """A batch that is alone on its ledger, with its caps."""
    with lock_folder(out):
        async with open_ledger(out, create=True, alone=True) as engine, open_counting_place(settings, engine) as place:
            batch = await settle_identity(engine)
            async with open_caps(place, engine, settings, batch=batch, caller=caller, clock=Clock()) as caps:
                yield engine, caps


async def reserve(out: Path, caller: str, jobs: int, caps_database: str | None) -> None:
    """Count so many attempts, the first of which may leave, and wait."""
    made = [make_job(number) for number in range(jobs)]
    async with open_counted(out, build_settings(caller, caps_database), caller) as (engine, caps):
        await plan_jobs(engine, made)
        for job in made:
            await caps.reserve(job, MOST_MICROS, number=1, images=1)
        await Journal(engine).record_intent(made[0], number=1, reserved_micros=MOST_MICROS, now_us=1, sent_at_us=None)
        sys.stdout.write("counted\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Do what the arguments say."""
    asyncio.run(reserve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] or None))
