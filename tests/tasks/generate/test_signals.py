"""Which signals are a first wish to end, and which a second; the second at a real process: tests/flows/kills/test_killed.py."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tasks.core.errors import BatchStopped
from tasks.generate import signals
from tasks.generate.signals import handle_signals
from tasks.generate.stop import StopSignal
from tests.support.waiting import PATIENCE_S


@pytest.fixture(autouse=True)
def _long_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a second signal ends when its time is up is this very process."""
    monkeypatch.setattr(signals, "PATIENCE_S", PATIENCE_S)


async def test_a_ctrl_c_passed_on_by_a_process_above_is_no_second_one() -> None:
    """A terminal's Ctrl-C goes to all of them, and `imagen serve` then tells its runs as well."""
    stop = StopSignal()
    async with handle_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
    assert stop.interrupted


async def test_a_run_of_a_worker_takes_every_sigterm_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container or systemd tells worker and run, and then the worker tells its run: images in flight still land."""
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "11111111-1111-1111-1111-111111111111")
    stop = StopSignal()
    async with handle_signals(stop):
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.05)
    assert stop.interrupted


async def test_a_flow_within_a_run_leaves_ctrl_c_to_the_run() -> None:
    """Both handle signals for one batch; when the flow has ended, while Prefect is told so, the run still hears."""
    stop = StopSignal()
    async with handle_signals(stop):
        async with handle_signals(stop):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stop.wait(), PATIENCE_S)
    assert stop.interrupted


async def test_a_flow_within_a_run_takes_sigterm_from_prefect() -> None:
    """Prefect's own handler of SIGTERM, set between the two, would end the flow while images are in flight."""
    stop, prefect = StopSignal(), list[str]()
    async with handle_signals(stop):
        signal.signal(signal.SIGTERM, lambda *_: prefect.append("ended"))
        async with handle_signals(stop):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stop.wait(), PATIENCE_S)
    assert (stop.interrupted, prefect) == (True, [])


async def test_a_batch_that_stopped_by_itself_is_ended_by_the_second_ctrl_c_as_any_other() -> None:
    """While the in-flight rest of a batch without budget or credit lands, a person can still end it at once."""
    stop = StopSignal()
    stop.stop(BatchStopped("budget", "the budget is spent"))

    async def landing() -> None:
        async with handle_signals(stop):
            await asyncio.Event().wait()

    landed = asyncio.create_task(landing())
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.05)
    assert not landed.done()
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(asyncio.CancelledError):
        await landed


async def test_a_closed_terminal_drains_however_often_it_is_told() -> None:
    """The kernel says so, and the shell once more; a second word of a person is another signal."""
    stop = StopSignal()
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a test run under nohup ignores it
    try:
        async with handle_signals(stop):
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGHUP)
                await asyncio.sleep(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stop.interrupted


async def test_a_run_under_nohup_outlives_its_terminal() -> None:
    """The signal that is ignored stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = StopSignal()
        async with handle_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.05)
        assert not stop.interrupted
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
