"""On whose behalf: the environment, the tmux pane, the deployment, the login."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.usage.caller import resolve_caller
from tests.support.waiting import PATIENCE_S

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed; `make test` says so too")


def test_the_environment_names_the_caller() -> None:
    """`MAI_FROM_ID` counts, edge spaces aside."""
    assert resolve_caller({"MAI_FROM_ID": " night-crew "}) == "night-crew"


def test_a_name_is_fit_for_every_database() -> None:
    """What is no text in the environment, or has no end, still makes a row that can be kept."""
    assert resolve_caller({"MAI_FROM_ID": "caf\udce9"}) == "caf?"
    assert len(resolve_caller({"MAI_FROM_ID": "x" * 10_000})) == 200


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose user has no name, as in many containers."""

    def unknown_user(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown_user)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"MAI_FROM_ID": "  "},
        {"TMUX_PANE": "%0"},
        {"TMUX": "/nowhere/socket,1,0", "TMUX_PANE": "%0", "PATH": "/usr/bin:/bin"},
        {"TMUX": "/nowhere/socket,1,0", "TMUX_PANE": "%0", "PATH": ""},
    ],
)
def test_where_nothing_is_known_the_caller_is_unknown(environ: dict[str, str]) -> None:
    """No tmux, a dead server, a missing program or a user without a name never fail a batch."""
    assert resolve_caller(environ) == "unknown"
    assert resolve_caller(environ, deployment="nightly") == "nightly"


def test_a_login_is_named_where_nothing_else_is() -> None:
    """`user@host`, from the environment or the system's list of users."""
    assert resolve_caller({"LOGNAME": "ann"}) == f"ann@{socket.gethostname()}"
    assert resolve_caller({}) == f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


def test_a_scheduled_run_is_its_deployment_s() -> None:
    """What the user calls the caller comes first, the login of the serving machine last."""
    environ = {"LOGNAME": "ann"}
    assert resolve_caller(environ, deployment="nightly") == "nightly"
    assert resolve_caller({**environ, "MAI_FROM_ID": "night-crew"}, deployment="nightly") == "night-crew"


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[list[str]]:
    """A tmux server of the test's own, with one session."""
    command = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]
    subprocess.run([*command, "new-session", "-d", "-s", "test", "-x", "80", "-y", "24", "sh"], check=True)
    yield command
    subprocess.run([*command, "kill-server"], check=True)


@needs_tmux
@pytest.mark.parametrize(("option", "expected"), [("studio seven", "studio seven"), (None, "@")])
def test_the_panes_name_is_read_inside_a_real_pane(
    tmux: list[str], tmp_path: Path, option: str | None, expected: str
) -> None:
    """A process in a pane finds `@mai-name` of that pane; an unset one leaves the login."""
    if option is not None:
        subprocess.run([*tmux, "set-option", "-p", "-t", "test", "@mai-name", option], check=True)
    answer = tmp_path / "answer"
    code = "import os; from tasks.usage.caller import resolve_caller; print(resolve_caller(os.environ))"
    subprocess.run(
        [*tmux, "send-keys", "-t", "test", f"{sys.executable} -c '{code}' > {answer}; tmux wait-for -S done", "Enter"],
        check=True,
        cwd=Path(__file__).parents[3],
    )
    subprocess.run([*tmux, "wait-for", "done"], check=True, timeout=PATIENCE_S)
    assert expected in answer.read_text()
