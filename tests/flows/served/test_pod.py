"""A pod's life: a flow run as Kubernetes starts and ends it, in a namespace of its own, as far as this machine allows."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.flows.conftest import Cli
from tests.flows.served.test_nightly import going_on, is_up, pictures
from tests.support.services.prefect_service import ROOT, PrefectService
from tests.support.started import note_started
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.server

WRITTEN = ("state", "work", "scratch")
CONTAINER = """
set -e
for name in state work scratch; do mount --bind "$POD/$name" "$POD/$name"; done
if [ -n "$CLOSED" ]; then
    mount --bind "$PYTHON" "$POD/python"
    mount -t tmpfs -o mode=755 tmpfs "$CLOSED"
    mkdir -p "$PYTHON"
    mount --bind "$POD/python" "$PYTHON"
fi
mount -o remount,ro,bind /
cd "$POD/work"
exec setpriv --reuid 10001 --regid 10001 --clear-groups "$@"
"""
"""A root that cannot be written but for three volumes, and a user whom nobody knows.

An interpreter in a home folder that only its owner may enter is put where others can reach it, for this namespace alone.
"""


class Pod:
    """Starts programs as the first process of a container."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        """Use the volumes in `folder`."""
        self.work = folder / "work"
        state = str(folder / "state")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "XDG_"))}
        self._environ = {**inherited, **environ, "POD": str(folder), "TMPDIR": str(folder / "scratch")}
        self._environ |= {"PYTHON": sys.base_prefix, "CLOSED": find_closed_folder(Path(sys.base_prefix))}
        self._environ |= {"HOME": state, "XDG_STATE_HOME": state, "PREFECT_HOME": f"{state}/prefect", "USER": ""}

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a Python module by the container's first process, which has the number 1."""
        python = [sys.executable, "-m"]
        words = [*python, "flows.container", *python, *command]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", CONTAINER, "pod"]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process: subprocess.Popen[str] = subprocess.Popen([*namespaces, *words], env=self._environ, **pipes)
        return note_started(process)


def find_closed_folder(path: Path) -> str:
    """Find the topmost folder on the way that others may not enter; empty: there is none."""
    ways = (str(folder) for folder in reversed(path.parents) if not folder.stat().st_mode & stat.S_IXOTH)
    return next(ways, "")


def end(process: subprocess.Popen[str]) -> None:
    """Send SIGTERM to the container's first process, and to no other, as a container engine does."""
    [unshared] = psutil.Process(process.pid).children()
    unshared.terminate()


@pytest.fixture
def pod(prefect_service: PrefectService) -> Iterator[Pod]:
    """A pod with empty volumes that anybody may write."""
    folder = Path(tempfile.mkdtemp(prefix="imagen-pod-"))
    folder.chmod(0o755)
    (folder / "python").mkdir()
    for name in WRITTEN:
        (folder / name).mkdir()
        (folder / name).chmod(0o1777)
    found = Pod(folder, prefect_service.environ)
    try:
        probe = found.start("json.tool", "--help")
        shown, _ = probe.communicate(timeout=PATIENCE_S)
        if probe.returncode:
            pytest.skip(f"no namespaces here: {shown}")
        yield found
    finally:
        shutil.rmtree(folder)


@pytest.mark.soak
def test_a_pod_that_is_ended_drains_and_another_goes_on(pod: Pod, prefect_service: PrefectService) -> None:
    """SIGTERM to the first process: what is in flight lands, the flow run ends as Interrupted, nothing is paid twice.

    The root cannot be written, the user has no name, the state folder is empty. Another pod ends the batch.
    """
    cli = Cli(pod.work, prefect_service.environ)
    cli.config(latency_s=1, concurrency=2, price_usd=0.01)
    cli.manifest(20)
    with going_on(
        cli.start_installed("serve", "m.jsonl", "--cron", "0 2 * * *", "--name", "pod", "--out", "out")
    ) as up:
        is_up(up, "The schedules stay")
    run = prefect_service.start("generate-batch/pod")
    first = pod.start("prefect", "flow-run", "execute", run)
    eventually(lambda: pictures(pod.work / "out") >= 2 or first.poll() is not None)
    end(first)
    shown, _ = first.communicate(timeout=PATIENCE_S)
    assert prefect_service.ended(run)["state_name"] == "Interrupted", shown
    record = cli.json("status", "out")
    assert (record["outcome"], record["submitting"], record["submitted"]) == ("interrupted", 0, 0)
    assert 2 <= record["images"] < 20
    second = pod.start("flows", "resume", "out")
    shown, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, shown
    record = cli.json("status", "out")
    assert (record["images"], record["cost_usd"]) == (20, 0.2)
    assert {path.stat().st_uid for path in pod.work.glob("out/images/*/*")} == {10001}
    assert str(ROOT) not in shown
