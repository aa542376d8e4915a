"""`imagen simulate`: it says how to reach it, serves, and tells at the end what was really billed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from tasks.backends.replicate_simulator.faults import FAULTS
from tasks.core.configuration.settings import load_settings
from tests.flows.conftest import Cli, interrupt
from tests.support.services.asking import CLIENT
from tests.support.waiting import PATIENCE_S

CREATE = "/v1/models/black-forest-labs/flux-schnell/predictions"


def instructions(process: subprocess.Popen[str]) -> str:
    """What it prints before it serves: everything up to the line with the token."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or "REPLICATE_API_TOKEN" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], lines  # it has ended, and will say nothing more
    return "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_shows_the_truth(offline: Cli, number: int) -> None:
    """What it prints is a configuration; its token works; the table has what was created and which fault struck."""
    process = offline.start("simulate", "--port", "0", "--latency", "0", "--fault", "poll_500")
    text = instructions(process)
    block = re.search(r"^default_backend:(?:.+\n)+", text, re.MULTILINE)
    token = re.search(r"REPLICATE_API_TOKEN=(\w+)", text)
    assert block is not None
    assert token is not None
    file = offline.folder / "imagen.yaml"
    file.write_text(block[0])
    options = load_settings(file).backends["rehearsal"].options
    headers = {"Authorization": f"Bearer {token[1]}"}
    created = CLIENT.post(f"{options['api_base']}{CREATE}", json={"input": {"prompt": "a fox"}}, headers=headers)
    assert CLIENT.get(created.json()["urls"]["get"], headers=headers).status_code == 500
    interrupt(process, number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, "")
    table = dict(line.rsplit(maxsplit=1) for line in out.strip().splitlines())
    assert [table[row] for row in ("created", "billed", "cost_usd", "poll_500")] == ["1", "1", "0.0030", "1"]


def test_the_help_lists_every_fault(offline: Cli) -> None:
    """With its number and what a client sees of it, wrapped for narrow terminals."""
    words = " ".join(offline.run("simulate", "--help").stdout.split())
    for fault in FAULTS.values():
        assert f"{fault.name} {fault.number}={fault.usual:g} {fault.shows} " in words


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fault", "nope"), "--fault 'nope' is no fault"),
        (("--fault", "failed_pa:x"), "'x' is no number"),
        (("--fault", "failed_pa:2"), "between 0 and 1"),
    ],
)
def test_a_wrong_fault_is_one_clear_line(offline: Cli, arguments: tuple[str, ...], said: str) -> None:
    """Exit status 2, and nothing is served."""
    done = offline.run("simulate", "--port", "0", *arguments)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert said in done.stderr


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e308"])
def test_a_latency_without_an_end_is_refused(offline: Cli, seconds: str) -> None:
    """A prediction that never ends is a fault of its own; the message names the bounds."""
    done = offline.run("simulate", "--port", "0", "--latency", seconds)
    assert (done.returncode, "is not from 0 to 86,400" in done.stderr) == (2, True)


def test_a_port_that_is_taken_is_one_clear_line(offline: Cli) -> None:
    """It names the port and what to do."""
    first = offline.start("simulate", "--port", "0")
    port = re.search(r"127\.0\.0\.1:(\d+)", instructions(first))
    assert port is not None
    done = offline.run("simulate", "--port", port[1])
    interrupt(first)
    first.communicate(timeout=PATIENCE_S)
    assert done.returncode == 2
    assert done.stderr == f"imagen: --port {port[1]}: cannot be used (Address already in use); give another one, or 0\n"


def test_it_needs_none_of_the_heavy_packages() -> None:
    """A rehearsal starts at once."""
    code = "import sys, tasks.backends.replicate_simulator.rehearsal; print({'prefect', 'sqlalchemy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
