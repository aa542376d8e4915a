"""Ctrl-C before Prefect runs anything: what has not begun is not waited for."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from flows.cli_support import run_flow
from tasks.orchestration.server.connection import ServerHandle
from tasks.runs.request import RunRequest
from tests.flows.conftest import NOWHERE


async def refuse(**_: object) -> NoReturn:
    """A flow that nobody wants any more."""
    pytest.fail("the flow was begun")


def test_ctrl_c_while_prefect_loads_begins_no_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends as an interrupted one at once, without a flow run that a busy machine needs a minute for."""
    monkeypatch.chdir(tmp_path)
    Path("m.txt").write_text("a fox\n")
    monkeypatch.setattr(run_flow, "_connect", lambda **_: ServerHandle(api_url=NOWHERE))
    monkeypatch.setattr(run_flow, "load_prefect", lambda: signal.raise_signal(signal.SIGINT))
    monkeypatch.setitem(sys.modules, "prefect", SimpleNamespace(tags=nullcontext))
    monkeypatch.setitem(sys.modules, "flows.generate_batch", SimpleNamespace(generate_batch=refuse))
    summary = run_flow.perform(RunRequest(manifest="m.txt", out="out"), verbose=False, quiet=True)
    assert (summary["outcome"], summary["planned"], summary["succeeded"]) == ("interrupted", 1, 0)
