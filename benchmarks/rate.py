"""The share of the account's rate of creates that is used, and the creates refused for coming too soon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.contenders import imagen
from benchmarks.measuring import measure
from benchmarks.pictures import make_pictures
from benchmarks.results import Row
from benchmarks.services import make_empty_folder, start_prefect_server
from benchmarks.simulator import start_simulator
from benchmarks.work import Work
from tasks.backends.replicate_simulator.settings import Settings

PART = "rate"
CREATES_PER_MIN, READS_PER_MIN = 600.0, 3_000.0
"""Replicate docs, "Rate limits", read 2026-11."""
LATENCY_S = 2.0
SIDE_PX = 1024
BURST = 10
"""Of creates; Replicate has 600, and a smaller one forgives less."""


def measure_rate(minutes: float, *, scratch: Path) -> Iterator[Row]:
    """One batch as large as the rate allows in so many minutes."""
    jobs = round(CREATES_PER_MIN * minutes)
    settings = Settings(
        latency_s=LATENCY_S,
        picture_kb=0,
        picture_folder=str(make_pictures(SIDE_PX, scratch)),
        creates_per_min=CREATES_PER_MIN,
        create_burst=BURST,
        reads_per_min=READS_PER_MIN,
    )
    with (
        make_empty_folder(scratch / "work") as folder,
        start_prefect_server(scratch / "home") as environ,
        start_simulator(settings) as service,
    ):
        work = Work(jobs=jobs, in_flight=64, api_url=service.url, folder=str(folder))
        imagen.prepare(work, creates_per_min=CREATES_PER_MIN, requests_per_min=READS_PER_MIN)
        measure("benchmarks.contenders.imagen", work.as_text(), environ=environ, folder=folder)
        truth = service.truth()
    took_min = (max(truth["created_at_s"]) - min(truth["created_at_s"])) / 60
    figures = {
        "used_percent": [100 * (truth["created"] - 1) / took_min / CREATES_PER_MIN],
        "refused_percent": [100 * truth["throttled"].get("create", 0) / truth["requests"]["create"]],
    }
    yield Row(
        part=PART, case=f"{minutes:g} min at {CREATES_PER_MIN:.0f} creates a minute", subject="imagen", figures=figures
    )
