"""A real Prefect server for the session, and the command line as its users call it: a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.orchestration.server.connection import connect, set_quiet_defaults
from tests.support.forked_process import IMAGEN, start_python
from tests.support.services.sharing import share
from tests.support.started import ending_started, note_started
from tests.support.waiting import PATIENCE_S

NOWHERE = "http://127.0.0.1:1/api"


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect home of the session's own."""
    return tmp_path_factory.mktemp("prefect-home")


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory, prefect_home: Path) -> Iterator[str]:
    """The API of a server for all processes of the test run."""

    @contextmanager
    def start() -> Iterator[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environ["PREFECT_HOME"] = str(prefect_home)
        set_quiet_defaults(environ)
        state = tmp_path_factory.mktemp("state")
        server = connect(state, environ, on_wait=lambda _: None, startup_timeout_s=PATIENCE_S, default_api_url=NOWHERE)
        yield server.api_url
        server.stop()

    with share(tmp_path_factory, "prefect", start) as url:
        yield url


@dataclass
class Cli:
    """Calls `imagen` in a folder of the test's own."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    before: str = ""
    """Python code that runs in each of the processes first."""

    def start(self, *arguments: str | Path, stdin: int | None = None, session: bool = False) -> subprocess.Popen[str]:
        """Start a command and leave it running; with `session` as a terminal does, whose Ctrl-C its children get too."""
        code, options = f"{self.before}\n{IMAGEN}", self._options(stdin, session=session)
        return note_started(start_python(code, *arguments, environ=options.pop("env"), **options))

    def start_installed(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the installed command, which does not look for packages in the working folder."""
        return self.start_program(sys.executable, "-P", "-c", IMAGEN, *arguments)

    def start_program(self, *command: str, stdin: int | None = None, session: bool = False) -> subprocess.Popen[str]:
        """Start any program in this folder, with these settings, and leave it running."""
        process: subprocess.Popen[str] = subprocess.Popen(command, text=True, **self._options(stdin, session=session))
        return note_started(process)

    def _options(self, stdin: int | None, *, session: bool) -> dict[str, Any]:
        pipes = {"stdin": subprocess.DEVNULL if stdin is None else stdin, "stdout": subprocess.PIPE}
        environ = {**os.environ, **self.environ}
        return {"cwd": self.folder, "env": environ, **pipes, "stderr": subprocess.PIPE, "start_new_session": session}

    def run(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; it never shows a traceback."""
        process = self.start(*arguments, stdin=None if stdin is None else subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=PATIENCE_S)
        assert "Traceback" not in out + err, err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str | Path, status: int = 0) -> Any:
        """Run a command with --json, check its exit status, and give what it printed."""
        done = self.run(*arguments, "--json")
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    def config(self, **backend: Any) -> None:
        """Set up the backend `sketch` of this folder."""
        text = json.dumps({"backends": {"sketch": {"type": "sketch", **backend}}})
        (self.folder / "imagen.yaml").write_text(text)

    def manifest(self, count: int, name: str = "m.jsonl") -> Path:
        """Write a manifest of so many small pictures."""
        rows = ({"id": f"row-{n}", "prompt": f"picture {n}", "width": 32, "height": 32} for n in range(count))
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path


@pytest.fixture(autouse=True)
def _end_started() -> Iterator[None]:
    with ending_started():
        yield


@pytest.fixture
def offline(tmp_path: Path) -> Cli:
    """The command line without any Prefect server: for what must end before one is needed."""
    return Cli(tmp_path, {"PREFECT_API_URL": NOWHERE, "PYTHONPATH": str(Path(__file__).parents[2])})


@pytest.fixture
def cli(tmp_path: Path, prefect_url: str, prefect_home: Path) -> Cli:
    """The command line with the session's server."""
    environ = {"PREFECT_API_URL": prefect_url, "PREFECT_HOME": str(prefect_home)}
    return Cli(tmp_path, {**environ, "PYTHONPATH": str(Path(__file__).parents[2])})


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
    """Send what Ctrl-C sends."""
    process.send_signal(number)
