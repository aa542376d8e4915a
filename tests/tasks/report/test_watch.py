"""A run seen from another process, through its ledger."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tasks.core.clock import Clock
from tasks.core.display import Display, ProgressSnapshot
from tasks.core.paths import LEDGER_NAME
from tasks.generate.jobs import generate_range
from tasks.ledger.lock import lock_folder
from tasks.ledger.start_notice import announce_start
from tasks.report.watch import wait_for_start, watch_run
from tasks.store.output.folder import OutputFolder
from tests.support.factories import START_US, make_job
from tests.support.scripted_backend import ScriptedBackend
from tests.support.scripted_batch import EVERYTHING, open_scripted


@dataclass
class SeenDisplay(Display):
    """Keeps what it was given."""

    left: int | None = None
    seen: list[ProgressSnapshot] = field(default_factory=list)

    def start(self, left: int) -> None:
        self.left = left

    def update(self, standing: ProgressSnapshot, elapsed_s: float) -> None:
        self.seen.append(standing)


async def test_a_living_run_is_shown_until_it_ends(out: Path) -> None:
    """Counts, money and rate come from the ledger; what stood at the end is shown too."""
    jobs = [make_job(number) for number in range(4)]
    display, now_s = SeenDisplay(), 0.0
    async with open_scripted(out, ScriptedBackend(), jobs) as batch:
        lock = lock_folder(out)
        lock.__enter__()

        async def let_pass(seconds: float) -> None:
            nonlocal now_s
            now_s += seconds
            await generate_range(batch, *EVERYTHING)
            lock.__exit__(None, None, None)

        clock = Clock(now_us=lambda: START_US, monotonic_s=lambda: now_s, sleep=let_pass)
        summary, was_alive = await watch_run(OutputFolder(out), display, clock=clock)
    assert (display.left, [moment.done for moment in display.seen]) == (4, [0, 4])
    assert (display.seen[-1].rate_per_s, display.seen[-1].cost_micros) == (4.0, 12_000)
    assert (was_alive, summary.alive, summary.counts.succeeded) == (True, False, 4)


@dataclass
class PhaseDisplay(Display):
    """Keeps what it was told."""

    phases: list[str] = field(default_factory=list)

    def phase(self, text: str) -> None:
        self.phases.append(text)


async def test_a_run_that_starts_is_waited_for(out: Path) -> None:
    """A folder that is locked and has no ledger yet is a run that begins; it is waited for, and that is said once."""
    display, looks = PhaseDisplay(), 0

    async def let_pass(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 20:
            (out / LEDGER_NAME).touch()

    clock = Clock(now_us=lambda: START_US, monotonic_s=lambda: float(looks), sleep=let_pass)
    with lock_folder(out):
        await wait_for_start(OutputFolder(out), display, clock)
    assert (looks, display.phases) == (20, ["waiting for a run to start here"])


async def test_a_folder_without_a_run_is_waited_for_a_moment(out: Path) -> None:
    """Who starts a run and its watching in one breath sees it; a wrong folder is told soon."""
    now_s = 0.0

    async def let_pass(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    clock = Clock(now_us=lambda: START_US, monotonic_s=lambda: now_s, sleep=let_pass)
    await wait_for_start(OutputFolder(out / "nothing"), PhaseDisplay(), clock)
    assert 0 < now_s <= 10


async def test_a_batch_without_a_run_is_watched_for_a_moment(out: Path) -> None:
    """Its next run may be starting; where none does, the watching ends soon and says that there was none."""
    now_s = 0.0

    async def let_pass(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    clock = Clock(now_us=lambda: START_US, monotonic_s=lambda: now_s, sleep=let_pass)
    display = PhaseDisplay()
    async with open_scripted(out, ScriptedBackend(), [make_job()]):
        summary, was_alive = await watch_run(OutputFolder(out), display, clock=clock)
    assert (was_alive, summary.counts.planned) == (False, 1)
    assert display.phases == ["waiting for a run to start here"]
    assert 0 < now_s <= 10


async def test_the_next_run_of_a_batch_is_waited_for_while_it_reads_its_manifest(out: Path) -> None:
    """However long that takes: the ledger of earlier runs is there, and the folder is not locked yet."""
    display, looks = PhaseDisplay(), 0
    target, start = OutputFolder(out), ExitStack()

    async def let_pass(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 500:
            start.close()
            start.enter_context(lock_folder(out))
        if looks == 501:
            start.close()

    clock = Clock(now_us=lambda: START_US, monotonic_s=lambda: float(looks), sleep=let_pass)
    async with open_scripted(out, ScriptedBackend(), [make_job()]):
        start.enter_context(announce_start(target.address))
        _, was_alive = await watch_run(target, display, clock=clock)
    assert (looks, was_alive) == (501, True)
    assert display.phases == ["waiting for a run to start here"]
