"""Replicate's settings and input checks as a user meets them, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.flows.conftest import Cli, interrupt
from tests.flows.kills.test_killed import TELL, interrupt_twice, wait_until
from tests.support.services.asking import read_truth
from tests.support.waiting import PATIENCE_S

TOKEN = {"REPLICATE_API_TOKEN": "r8_rehearsal"}


def configure(cli: Cli, usage: Mapping[str, Any] | None = None, **options: Any) -> None:
    """One instance of Replicate, the default one; and where usage rows go."""
    instance = {"type": "replicate", "model": "black-forest-labs/flux-schnell", **options}
    settings = {"default_backend": "flux", "backends": {"flux": instance}} | ({} if usage is None else {"usage": usage})
    (cli.folder / "imagen.yaml").write_text(json.dumps(settings))


@contextmanager
def simulated(cli: Cli, latency_s: float = 1.0, faults: Sequence[str] = ()) -> Iterator[str]:
    """The address of a simulator in a process of its own."""
    given = [argument for fault in faults for argument in ("--fault", fault)]
    process = cli.start("simulate", "--port", "0", "--latency", str(latency_s), *given)
    assert process.stdout is not None
    try:
        line = next(line for line in process.stdout if "http://127.0.0.1" in line)
        yield next(word for word in line.split() if word.startswith("http://127.0.0.1"))
    finally:
        interrupt(process)
        process.communicate(timeout=PATIENCE_S)


def test_backends_says_what_is_missing(offline: Cli) -> None:
    """Without the token: its variable's name; with it: ok."""
    configure(offline, api_token_env="MY_TOKEN")
    assert "not configured (set MY_TOKEN)" in offline.run("backends").stdout
    offline.environ["MY_TOKEN"] = "r8_rehearsal"
    assert "ok (default)" in offline.run("backends").stdout


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"model": "flux"}, "imagen.yaml: backends.flux.model: 'flux' is not a model; write owner/name"),
        ({"model": ""}, "backends.flux.model"),
        ({"api_base": "replicate.com"}, "imagen.yaml: backends.flux: api_base: 'replicate.com' is not an address"),
        ({"timeout_s": 1.0}, "backends.flux: timeout_s"),
        ({"api_tokn": "x"}, "backends.flux: api_tokn: there is no such setting"),
    ],
)
def test_a_bad_setting_is_one_clear_message(options: dict[str, Any], fragment: str, offline: Cli) -> None:
    """It names the file and the setting; exit status 2."""
    configure(offline, **options)
    done = offline.run("plan", offline.manifest(1))
    assert done.returncode == 2
    assert fragment in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_token_nothing_starts(offline: Cli) -> None:
    """The run is refused at once and says what to set; so does its plan."""
    configure(offline)
    manifest = offline.manifest(1)
    plan = offline.run("plan", manifest)
    assert (plan.returncode, "set REPLICATE_API_TOKEN" in plan.stderr) == (2, True)
    done = offline.run("run", manifest, "--out", "out", "--quiet")
    assert done.returncode == 2
    assert "set REPLICATE_API_TOKEN" in done.stderr
    assert not (offline.folder / "out").exists()


def test_what_the_model_refuses_is_a_problem_of_the_row(offline: Cli) -> None:
    """Out-of-range and unknown inputs are found by the model's own schema, with the row's line, before any spend."""
    rows = [{"prompt": "fine"}, {"prompt": "a", "steps": 9}, {"prompt": "b", "backend_opts": {"go_fasst": True}}]
    (offline.folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    offline.environ |= TOKEN
    with simulated(offline) as url:
        configure(offline, api_base=url)
        done = offline.run("run", "m.jsonl", "--out", "out", "--quiet")
        truth = read_truth(url)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert "m.jsonl:2: num_inference_steps: 9" in first
    assert "m.jsonl:3: go_fasst: the model has no such input" in second
    assert truth["created"] == 0
    assert not (offline.folder / "out").exists()


def test_a_refused_token_is_found_before_anything_is_sent(offline: Cli) -> None:
    """The message names the variable, never the token."""
    offline.environ |= {"REPLICATE_API_TOKEN": "bad-token"}
    with simulated(offline) as url:
        configure(offline, api_base=f"{url}/v1")
        done = offline.run("run", offline.manifest(1), "--out", "out", "--quiet")
    assert done.returncode == 2
    assert "token in REPLICATE_API_TOKEN" in done.stderr
    assert "bad-token" not in done.stderr


@pytest.mark.server
def test_the_second_interrupt_cancels_at_the_provider(cli: Cli) -> None:
    """Nothing runs on unseen, what had not begun is not billed, and the message says what a resume does."""
    cli.environ |= TOKEN
    cli.before = TELL
    # Never started: whether a slow machine leaves them time to start must not matter.
    with simulated(cli, latency_s=60, faults=["stuck_starting"]) as url:
        configure(cli, api_base=url, delivery_hosts=["localhost"], concurrency=3)
        process = cli.start("run", cli.manifest(3), "--out", "out", "--quiet")
        wait_until(cli.folder / "out", "SELECT 1 FROM jobs WHERE state = 'submitted' LIMIT 1 OFFSET 2", process)
        interrupt_twice(process)
        _, err = process.communicate(timeout=PATIENCE_S)
        truth = read_truth(url)
    assert process.returncode == 130, err
    assert (truth["by_status"], truth["billed"]) == ({"canceled": 3}, 0)
    assert "to go on: imagen resume out" in err
    assert "--retry-failed" in err
