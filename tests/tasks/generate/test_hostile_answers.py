"""Answers that nobody would send, of every backend type, through the whole engine: they harm their own job only.

A server that works stands behind one that spoils what belongs to the hostile jobs of a batch. `IMAGEN_FUZZ_ANSWERS`
changes how many answers are spoiled, `IMAGEN_FUZZ_SEED` which.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tasks.backends.replicate_simulator.server import run_simulator
from tasks.backends.replicate_simulator.settings import Settings as Simulated
from tasks.core.clock import Clock
from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import BatchStopped
from tasks.core.presets import list_presets
from tasks.core.records import JobState
from tasks.generate.jobs import generate_range
from tasks.metadata.exports.export import export_batch
from tasks.metadata.exports.targets import ExportFormat
from tasks.metadata.write import write_metadata
from tasks.store.output.folder import OutputFolder
from tasks.usage.push import push_usage
from tests.support.fakes import fal_queue, json_api, openai_batches
from tests.support.fakes.backends import EVERYTHING, batch_at, make_instance_job
from tests.support.fakes.fal_queue import FalQueue
from tests.support.fakes.json_api import JsonApi
from tests.support.fakes.named_service import NamedService, build_instance, list_variables
from tests.support.fakes.openai_batches import OpenAIBatches
from tests.support.fakes.openai_images import OpenAIImages
from tests.support.fakes.serving import Provider, serving
from tests.support.hostile_server import HOSTILE, HostileServer, forward_to, serve_hostile
from tests.support.memory import MemoryGrowth

SEED = int(os.environ.get("IMAGEN_FUZZ_SEED", "20261126"))
ANSWERS = int(os.environ.get("IMAGEN_FUZZ_ANSWERS", "200"))
ANSWERS_PER_BATCH = 5
"""Roughly."""
HOSTILE_JOBS, JOBS = 3, 5
MOST_GROWTH_BYTES = 1_000_000_000
MOST_MICROS = 10_000_000
"""Of one attempt: prices here are cents, and a reported cost of a hundred times as much is not believed."""
SPEED = 200.0
# Waits alone are short: how far the service's clock is from ours is measured in real time.
HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / SPEED))


# Its instants are compared with ours, whose sleeps alone are short.
REAL_TIME = Simulated(
    speed=1, latency_s=0.1, picture_kb=2, shrink=16, creates_per_min=60_000, create_burst=5_000, reads_per_min=600_000
)


@dataclass
class Service:
    """A service behind the proxy: its instance, and the prompts of what it made."""

    instance: dict[str, Any]
    list_prompts: Callable[[], list[str]]
    sharing: bool = False
    """True if one answer is about several jobs."""


def list_created(provider: Provider) -> Callable[[], list[str]]:
    """Everything that a stand-in made, as text."""
    return lambda: [json.dumps(body, default=str) for body in provider.created]


@asynccontextmanager
async def serve_fake(provider: Provider, server: HostileServer) -> AsyncIterator[None]:
    """A stand-in whose answers name the proxy."""
    async with serving(provider) as real, forward_to(real) as server.forward:
        provider.url = server.url
        yield


@asynccontextmanager
async def serve_replicate(server: HostileServer) -> AsyncIterator[Service]:
    """The simulator of Replicate; its images come from a host of its own, past the proxy."""
    async with run_simulator(REAL_TIME) as simulator, forward_to(simulator.url) as server.forward:
        simulator.provider.api_url = server.url
        yield Service(
            {
                "type": "replicate",
                "model": "black-forest-labs/flux-schnell",
                "api_base": server.url,
                "delivery_hosts": ["localhost", "127.0.0.1"],
                "lookup_patience_s": 60.0,
                "timeout_s": 120,
                "creates_per_min": 60_000,
            },
            lambda: [str(made.request) for made in simulator.provider._predictions],
        )


@asynccontextmanager
async def serve_kind(kind: str, server: HostileServer) -> AsyncIterator[Service]:
    """One service behind the proxy."""
    if kind == "replicate":
        async with serve_replicate(server) as service:
            yield service
    elif kind in STAND_INS:
        provider, build = STAND_INS[kind][0](), STAND_INS[kind][1]
        async with serve_fake(provider, server):
            yield Service(build(server.url), list_created(provider), sharing=kind == "openai batches")
    else:
        named = NamedService(name=kind)
        async with serve_fake(named, server):
            yield Service(build_instance(kind, server.url, price_usd=0.02, timeout_s=120.0), list_created(named))


PATIENT: dict[str, Any] = {"delivery_hosts": ["127.0.0.1"], "timeout_s": 120.0}
"""The machine may be slow."""
STAND_INS: dict[str, tuple[Callable[[], Provider], Callable[[str], dict[str, Any]]]] = {
    "fal": (FalQueue, lambda url: fal_queue.instance(url, timeout_s=120.0)),
    "http bytes": (JsonApi, lambda url: json_api.at_once(url, "raw", **PATIENT)),
    "http base64": (JsonApi, lambda url: json_api.at_once(url, "base64", **PATIENT)),
    "http url": (JsonApi, lambda url: json_api.at_once(url, "url", **PATIENT)),
    "http polled": (JsonApi, lambda url: json_api.polled(url, **PATIENT)),
    "http with a look-up": (JsonApi, lambda url: json_api.polled(url, find=json_api.lookup(url), **PATIENT)),
    "openai": (OpenAIImages, lambda url: {**openai_batches.instance(url), "mode": "sync"}),
    "openai batches": (OpenAIBatches, openai_batches.instance),
}
KINDS = ["replicate", *STAND_INS, *list_presets()]
KEY = "sk-test-1234567890abcdef"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*list_variables(), "REPLICATE_API_TOKEN", "FAL_KEY", "OPENAI_API_KEY", "ANY_KEY"):
        monkeypatch.setenv(name, KEY)


async def generate(out: Path, service: Service) -> str | None:
    """Generate what is open, write what a run writes at its end; gives the reason why the batch stopped."""
    prompts = [f"{HOSTILE if number < HOSTILE_JOBS else 'healthy'} fox {number}" for number in range(JOBS)]
    jobs = [
        make_instance_job(service.instance, number, prompt=prompt, width=1024, height=1024)
        for number, prompt in enumerate(prompts)
    ]
    output = OutputFolder(out)
    async with batch_at(out, service.instance, jobs, budget_micros=JOBS * MOST_MICROS, clock=HASTY) as batch:
        reason = None
        try:
            await generate_range(batch, *EVERYTHING)
            batch.stop.check()
        except BatchStopped as stopped:
            reason = stopped.reason
        await write_metadata(batch.engine, output)
        report = await push_usage(batch.engine, UsageSettings(path=str(out / "usage.db")), out=out, clock=HASTY)
        assert report.warning is None
    # Opened once more, every value of the ledger is checked.
    await export_batch(output, ExportFormat.JSONL, out.parent / f"{out.name}.jsonl", overwrite=True)
    return reason


def read(out: Path, query: str) -> list[Any]:
    """Rows of the ledger."""
    with closing(sqlite3.connect(out / "ledger.db")) as db:
        return db.execute(query).fetchall()


def expect_harmless(out: Path, service: Service, *, reason: str | None) -> None:
    """No internal error, no cost that cannot be, and the healthy jobs done."""
    kinds = Counter(kind for (kind,) in read(out, "SELECT error_kind FROM jobs"))
    assert "internal" not in kinds, read(out, "SELECT error_message FROM jobs WHERE error_kind = 'internal'")
    costs = [cost for (cost,) in read(out, "SELECT cost_micros FROM attempts WHERE cost_micros IS NOT NULL")]
    assert all(0 <= cost <= MOST_MICROS for cost in costs)
    left = read(
        out,
        f"SELECT prompt, state, error_kind, error_message FROM jobs WHERE prompt LIKE 'healthy%' AND state <> '{JobState.SUCCEEDED}'",
    )
    assert not left or reason is not None or service.sharing, left


async def attack(kind: str, chance: int, folder: Path) -> int:
    """A batch with hostile answers, then the same batch with honest ones; gives how many answers were spoiled."""
    rng = random.Random(chance)
    server = HostileServer(rng, share=rng.choice([0.3, 0.6, 0.8]), spoils_shared=rng.random() < 0.2)
    out = folder / "out"
    out.mkdir()
    async with serve_hostile(server), serve_kind(kind, server) as service:
        reason = await generate(out, service)
        expect_harmless(out, service, reason=reason)
        server.share = 0.0
        for _ in range(3):  # a stop for one job's sake leaves the others to the next run
            if await generate(out, service) is None:
                break
        expect_harmless(out, service, reason=None)
        if not service.sharing:
            expect_paid_once(out, service)
    return server.spoiled


def expect_paid_once(out: Path, service: Service) -> None:
    """A healthy job was sent once, and a hostile one never more often than the ledger tells."""
    made = service.list_prompts()
    for prompt, attempts in read(out, "SELECT prompt, attempts FROM jobs"):
        sent = sum(prompt in text for text in made)
        assert sent <= (attempts if HOSTILE in prompt else 1), (prompt, sent, attempts)


def run_attack(kind: str, chance: int, caplog: pytest.LogCaptureFixture) -> None:
    """One batch in a folder and an event loop of its own."""
    caplog.clear()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        # Ids are counted anew, and another batch of the same account must not have had them.
        patch.setenv("XDG_STATE_HOME", folder)
        asyncio.run(asyncio.wait_for(attack(kind, chance, Path(folder)), 300))
    assert "stays open" not in caplog.text
    assert "Traceback" not in caplog.text


def fuzz(examples: int) -> settings:
    """Seeded, without a limit on the time of one."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=checks)


@pytest.mark.parametrize("kind", KINDS)
def test_one_hostile_batch_of_each_service(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Spoiled answers end their own jobs, cost what they can have cost, and the healthy jobs are done and paid for once."""
    run_attack(kind, SEED, caplog)


@pytest.mark.soak
def test_hostile_batches(caplog: pytest.LogCaptureFixture, memory_growth: MemoryGrowth) -> None:
    """The same for many batches, in less than a gigabyte."""

    @fuzz(max(1, ANSWERS // ANSWERS_PER_BATCH))
    @given(kind=st.sampled_from(KINDS), chance=st.integers(0, 2**32))
    @seed(SEED)
    def attack_each(kind: str, chance: int) -> None:
        run_attack(kind, chance, caplog)

    attack_each()
    # Once and at the end: the peak of one batch stands in the figure of all that follow, which none of them explains.
    assert memory_growth.bytes < MOST_GROWTH_BYTES
