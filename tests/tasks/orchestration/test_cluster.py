"""Clusters that a run starts on this machine do the work of nobody else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from ipaddress import ip_address

import psutil
import pytest

from tasks.core.configuration.sections import RunnerSettings
from tasks.orchestration.cluster import start_cluster

pytestmark = pytest.mark.soak

STRANGER = "import ray, sys; ray.init(address=sys.argv[1]); ray.get(ray.remote(lambda: 1).remote())"

SCHEDULER_DASHBOARD_NANNY_WORKER = 4


def find_listeners() -> set[tuple[str, int]]:
    """Addresses and ports on which this process and those that it started take connections."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    sockets = [found for process in processes for found in process.net_connections("inet")]
    return {(found.laddr.ip, found.laddr.port) for found in sockets if found.status == psutil.CONN_LISTEN}


async def test_dask_listens_on_loopback_only() -> None:
    """Whoever reaches a Dask scheduler has it run any code."""
    # A process that runs tests has servers of earlier tests: the driver of a browser is one.
    before = find_listeners()
    async with start_cluster(RunnerSettings(kind="dask", workers=1)):
        opened = find_listeners() - before
    assert len(opened) >= SCHEDULER_DASHBOARD_NANNY_WORKER
    assert all(ip_address(address).is_loopback for address, _port in opened), opened


async def test_ray_takes_work_with_its_token_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens on every address of the machine, so it asks who is there."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    async with start_cluster(RunnerSettings(kind="ray", workers=1)):
        import ray  # noqa: PLC0415  an extra, and seconds to import

        address = ray.get_runtime_context().gcs_address
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        command = [sys.executable, "-c", STRANGER, address]
        stranger = await asyncio.to_thread(
            lambda: subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        )
    assert stranger.returncode != 0
    assert "ConnectionError" in stranger.stderr
