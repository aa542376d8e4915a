"""The configuration of a run that stands at an address."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from pathlib import Path

import pytest

from tasks.core.errors import ConfigError
from tasks.runs.configuration import load_run_settings
from tasks.runs.direct import run_directly
from tasks.runs.request import RunRequest
from tests.support.file_server import serving

TEXT = b"default_backend: mine\nbackends: {mine: {type: sketch, price_usd: 0.5}}"


@pytest.fixture(autouse=True)
def _own_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_run_is_carried_out_with_what_was_checked() -> None:
    """It is fetched for the check and not again for the run; a parameter keeps the address as it is written."""

    def check_and_run() -> None:
        answers = {"/a/imagen.yaml": (200, "application/yaml", TEXT)}
        with serving(answers) as address:
            config = RunRequest(out="out", config=f"{address}/a/imagen.yaml").config
            assert config == f"{address}/a/imagen.yaml"
            checked = load_run_settings(config, anew=True)
            assert (list(checked.backends), checked.file) == (["mine"], config)
            answers.clear()
            assert load_run_settings(config, anew=False) is checked
            with pytest.raises(ConfigError, match="404"):
                load_run_settings(config, anew=True)

    # What is fetched is known in this context only, which is the test's own.
    copy_context().run(check_and_run)


def test_a_problem_is_told_with_the_address() -> None:
    """The copy that was read is gone by then."""
    answers = {"/imagen.yaml": (200, "text/plain", b"backend: {}")}
    with serving(answers) as address, pytest.raises(ConfigError) as caught:
        load_run_settings(f"{address}/imagen.yaml", anew=True)
    assert str(caught.value).startswith(f"{address}/imagen.yaml:1: backend: there is no such setting")


def test_nobody_on_the_way_says_where_keys_are_sent(tmp_path: Path) -> None:
    """Plain http from another machine is refused before anything is asked; a path is read as ever."""
    with pytest.raises(ConfigError, match="over https only"):
        load_run_settings("http://example.org/imagen.yaml", anew=True)
    (tmp_path / "c.yaml").write_bytes(TEXT)
    assert list(load_run_settings(str(tmp_path / "c.yaml"), anew=True).backends) == ["mine"]
    assert load_run_settings(None, anew=True).backends


def test_a_redirect_leads_to_no_plain_http() -> None:
    """Whoever listens on the way would answer in its place; this machine's own addresses are followed."""
    answers = {"/away": (302, "text/plain", b"http://example.org/imagen.yaml"), "/a.yaml": (200, "text/plain", TEXT)}
    with serving(answers) as address:
        answers["/here"] = (302, "text/plain", f"{address}/a.yaml".encode())
        assert list(load_run_settings(f"{address}/here", anew=True).backends) == ["mine"]
        with pytest.raises(
            ConfigError, match=r"/away: leads to http://example\.org, and is not fetched over plain http"
        ):
            load_run_settings(f"{address}/away", anew=True)


def test_a_resume_needs_no_address(tmp_path: Path) -> None:
    """The ledger has kept the settings, so the address may be gone by then."""
    (tmp_path / "m.txt").write_text("a fox\n")
    out = str(tmp_path / "out")
    with serving({"/c.yaml": (200, "text/plain", TEXT + b"\nusage: {sink: none}")}) as address:
        request = RunRequest(out=out, manifest=str(tmp_path / "m.txt"), config=f"{address}/c.yaml")
        assert asyncio.run(run_directly(request)).as_dict()["succeeded"] == 1
    [image] = (tmp_path / "out" / "images").rglob("*.png")
    image.unlink()
    assert asyncio.run(run_directly(RunRequest(out=out, missing=True))).as_dict()["cost_usd"] == 1.0
