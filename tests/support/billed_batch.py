"""One process of a batch that pays a made-up service: `python -c "from tests.support.billed_batch import main; main()"`.

The service's bill is a file that outlives the process, so that what was billed is known whoever is killed when.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from tasks.backends.base import Allowance, Estimate, find_taken
from tasks.core.clock import Clock
from tasks.core.configuration.settings import load_settings
from tasks.core.errors import Ambiguous, JobError, NotCreated, Throttled, Transient
from tasks.core.records import Job, Prediction
from tasks.generate.batch import open_batch
from tasks.generate.jobs import generate_range
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.lock import lock_folder
from tasks.ledger.queries import count_jobs
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job, plan_jobs
from tests.support.scripted_backend import picture
from tests.support.scripted_batch import EVERYTHING

DAY_US = 86_400_000_000
MOST_MICROS, COST_MICROS, FAILED_MICROS = 4_000, 3_000, 1_000
FAULT = 0.04
"""Share of each kind of fault."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one process does."""

    folder: str
    name: str
    caller: str
    jobs: int
    day: int
    """Days by which its clock is set."""
    shift_us: int
    """By which it is set besides."""
    seed: int

    def dump(self) -> str:
        """As an argument."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class BillLine:
    """One prediction that was billed."""

    batch: str
    caller: str
    day: int
    job_id: str
    prediction_id: str
    cost_micros: int


def read_bill(folder: Path) -> list[BillLine]:
    """Everything that was billed so far, to whatever batch."""
    return [line for path in sorted(folder.glob("*.bill")) for line in _parse(path.read_text())]


def get_bill_path(folder: Path, batch: str) -> Path:
    """A batch's part of the bill."""
    return folder / f"{batch}.bill"


def _parse(text: str) -> list[BillLine]:
    return [BillLine(**json.loads(line)) for line in text.splitlines()]


@dataclass
class BilledService:
    """A backend with a bill, whose faults come by chance and are free, billed, or lost answers."""

    part: Part
    dice: random.Random
    made: dict[str, dict[str, int]] = field(default_factory=dict)
    """What each job's predictions cost, as far as the bill was read: a bill of 50,000 lines is not read for each lost answer."""
    costs: dict[str, int] = field(default_factory=dict)
    """By prediction."""
    read_bytes: int = 0

    def read_further(self) -> None:
        """Read what was billed to the batch since the last time."""
        path = get_bill_path(Path(self.part.folder), self.part.name)
        if not path.exists():
            return
        with path.open("rb") as bill:
            bill.seek(self.read_bytes)
            text = bill.read()
        self.read_bytes += len(text)
        for line in _parse(text.decode()):
            self.made.setdefault(line.job_id, {})[line.prediction_id] = line.cost_micros
            self.costs[line.prediction_id] = line.cost_micros

    def ready(self) -> str | None:
        return None

    def learn(self) -> None:
        pass

    def problems(self, job: Job) -> list[str]:
        return []

    def estimate(self, job: Job) -> Estimate:
        return Estimate(cost_micros=COST_MICROS, most_micros=MOST_MICROS, latency_s=0.0)

    def allowance(self) -> Allowance:
        return Allowance(account="billed", creates_per_min=None)

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        chance = self.dice.random()
        if chance < FAULT:
            raise NotCreated("refused")
        if chance < 2 * FAULT:
            raise Throttled("too soon", retry_after_s=0.01)
        cost_micros = FAILED_MICROS if self.dice.random() < FAULT else COST_MICROS
        line = BillLine(self.part.name, self.part.caller, self.part.day, job.job_id, uuid.uuid4().hex, cost_micros)
        self.costs[line.prediction_id] = cost_micros
        path = get_bill_path(Path(self.part.folder), self.part.name)
        # One write of a short line: processes do not meet in the middle of it, and a kill leaves none half done.
        with open(path, "ab", buffering=0) as bill:  # noqa: PTH123, ASYNC230
            bill.write((json.dumps(asdict(line)) + "\n").encode())
        if chance < 3 * FAULT:
            raise Ambiguous("the answer was lost", cost_micros=None)
        return Prediction(prediction_id=line.prediction_id)

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        # Jobs of two batches are equal, and what was sent for one is no image of the other.
        self.read_further()
        made = self.made.get(job.job_id, {})
        left = sorted(set(made) - await find_taken(known, made))
        return Prediction(prediction_id=left[0]) if left else None

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        await asyncio.sleep(self.dice.uniform(0, 0.05))
        if prediction.prediction_id not in self.costs:  # an earlier run's
            self.read_further()
        cost_micros = self.costs[prediction.prediction_id]
        if cost_micros == FAILED_MICROS:
            raise Transient("made no image, and is billed", cost_micros=cost_micros)
        return Prediction(prediction_id=prediction.prediction_id, cost_micros=cost_micros, cost_source="priced")

    async def fetch(self, job: Job, prediction: Prediction) -> bytes:
        return picture()

    async def cancel(self, prediction: Prediction) -> None:
        pass

    async def close(self) -> None:
        pass


async def run_part(part: Part) -> str:
    """Run the batch to its end or stop; the stop's reason, or nothing."""
    out, settings = Path(part.folder) / part.name, load_settings(Path(part.folder) / "imagen.yaml")
    out.mkdir(exist_ok=True)
    clock = Clock(now_us=lambda: time.time_ns() // 1_000 + part.shift_us + part.day * DAY_US)
    with lock_folder(out):
        async with open_ledger(out, create=True, alone=True) as engine:
            # A plan of 50,000 jobs takes longer than the time after which a run is killed.
            if (await count_jobs(engine)).total < part.jobs:
                await plan_jobs(engine, [make_job(number, id=f"{part.name}-{number}") for number in range(part.jobs)])
            async with open_batch(
                OutputFolder(out), engine, settings, budget_micros=None, clock=clock, caller=part.caller
            ) as batch:
                # It stands in for every backend of the process.
                batch._backends["sketch"] = BilledService(part, random.Random(part.seed))
                await generate_range(batch, *EVERYTHING)
                return "" if batch.stop.cause is None else str(batch.stop.cause)


def main() -> None:
    """Run the part that the first argument names, and print how it ended."""
    part = Part(**json.loads(sys.argv[1]))
    try:
        ended = asyncio.run(run_part(part))
    except JobError as exc:
        ended = f"broke: {exc}"
    sys.stdout.write(json.dumps(ended))
    sys.stdout.flush()
    os._exit(0)
