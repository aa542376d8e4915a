from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from filelock import FileLock

from tasks.core.display import Display, current_display
from tasks.core.errors import ConfigError
from tasks.orchestration.server import connection
from tasks.orchestration.server.connection import (
    ServerError,
    ServerHandle,
    connect,
    find_users_server,
    require_lasting_server,
    set_quiet_defaults,
)
from tasks.orchestration.server.failures import find_cause
from tasks.orchestration.server.health import is_healthy
from tasks.orchestration.server.launch import TemporaryServer, get_database_file
from tasks.orchestration.server.server_records import ServerRecord, get_servers_folder, read_start_time
from tests.support.services.asking import CLIENT
from tests.support.waiting import PATIENCE_S, eventually

NOWHERE = "http://127.0.0.1:1/api"
"""Stands for the default port: the tests neither need it free nor use what listens there."""
PARENT = f"""
import os, sys
from pathlib import Path
from tasks.orchestration.server.connection import connect
handle = connect(Path(sys.argv[1]), os.environ, on_wait=lambda elapsed_s: None, default_api_url="{NOWHERE}")
if len(sys.argv) > 2:
    sys.stdin.read()
"""
"""A run: connects, with a second argument waits for the end of its input, and ends without a word."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect reads settings from the current folder: an empty one."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment of a user who has set nothing for Prefect."""
    return _environ(tmp_path / "prefect-home")


def _environ(prefect_home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    kept["PREFECT_HOME"] = str(prefect_home)
    set_quiet_defaults(kept)
    return kept


def _connect(state_dir: Path, environ: dict[str, str], default_api_url: str = NOWHERE) -> ServerHandle:
    return connect(
        state_dir,
        environ,
        on_wait=lambda _elapsed_s: None,
        startup_timeout_s=PATIENCE_S,
        default_api_url=default_api_url,
    )


def _files(state_dir: Path) -> set[str]:
    """Records and outputs of servers; the lock file and the database stay."""
    return {path.name for path in get_servers_folder(state_dir).glob("*") if ".db" not in path.name} - {"start.lock"}


def _wait_until_gone(pid: int) -> None:
    eventually(lambda: read_start_time(pid) is None)


@contextlib.contextmanager
def _listening(answer: bytes, tls: ssl.SSLContext | None = None, *, pages: bytes | None = None) -> Iterator[str]:
    """A server that answers every GET with 200 and these bytes, or `pages` outside its API; gives the API's address."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer if pages is None or self.path.startswith("/api/") else pages)

        def log_message(self, *_args: object) -> None:
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()


def _certificate(folder: Path) -> Path:
    """A certificate that nobody else signed, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(plain + signed.public_bytes(Encoding.PEM))
    return path


def test_url_in_environment_wins(tmp_path: Path, environ: dict[str, str]) -> None:
    """A server named in the environment is used as it is, whatever it answers, and nothing is started."""
    with _listening(b"log in first") as url:
        environ["PREFECT_API_URL"] = url
        handle = _connect(tmp_path, environ)
    assert (handle.api_url, _files(tmp_path)) == (url, set())


def test_url_in_profile_wins(tmp_path: Path, environ: dict[str, str]) -> None:
    """A server named in the active profile is used as it is; the environment is left alone, nothing is started."""
    with _listening(b"true") as url:
        (tmp_path / "prefect-home").mkdir()
        profile = f'active = "p"\n[profiles.p]\nPREFECT_API_URL = "{url}"'
        (tmp_path / "prefect-home/profiles.toml").write_text(profile)
        handle = _connect(tmp_path, environ)
    assert (handle.api_url, _files(tmp_path)) == (url, set())
    assert "PREFECT_API_URL" not in environ


def test_a_server_of_the_user_that_is_away_is_one_clear_error(tmp_path: Path, environ: dict[str, str]) -> None:
    """It is not silently replaced by a temporary one: the message names the address and the setting."""
    environ["PREFECT_API_URL"] = NOWHERE
    with pytest.raises(ServerError, match=f"{NOWHERE} .PREFECT_API_URL. does not answer"):
        _connect(tmp_path, environ)
    del environ["PREFECT_API_URL"]
    Path("prefect.toml").write_text(f'[api]\nurl = "{NOWHERE}"')
    with pytest.raises(ServerError, match=r"PREFECT_API_URL of prefect\.toml.*take it out there"):
        _connect(tmp_path, environ)
    assert _files(tmp_path) == set()


def test_a_password_in_the_address_is_for_prefect_alone(tmp_path: Path, environ: dict[str, str]) -> None:
    """A server behind a proxy that asks for one is found like any other, and no message shows it."""
    with _listening(b"true") as url:
        environ["PREFECT_API_URL"] = url.replace("//", "//me:secret@")
        assert _connect(tmp_path, environ).api_url == environ["PREFECT_API_URL"]
    with pytest.raises(ServerError, match="does not answer") as caught:
        _connect(tmp_path, environ)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:4200/api", " http://h/api", "http://h:x/api", "ftp://h/api", "http:///api", "http://h/api?a=1"]
)
def test_what_is_no_address_is_a_setting_to_correct(url: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """It is not told as a server that is away, which nobody could start."""
    environ["PREFECT_API_URL"] = url
    with pytest.raises(ConfigError, match="PREFECT_API_URL is no address of a Prefect API"):
        _connect(tmp_path, environ)


def test_the_address_of_the_pages_is_told_from_that_of_the_api(tmp_path: Path, environ: dict[str, str]) -> None:
    """It is what the browser shows, and the pages answer every path; the message has the address to set."""
    with _listening(b"true", pages=b"<!doctype html>") as api:
        for page in (api.removesuffix("/api"), api.replace("/api", "/dashboard")):
            environ["PREFECT_API_URL"] = page
            with pytest.raises(ConfigError, match=f"the API of the Prefect server there is {api}"):
                _connect(tmp_path, environ)
        environ["PREFECT_API_URL"] = f"{api}/"
        assert _connect(tmp_path, environ).api_url == f"{api}/"


def test_a_server_that_hangs_on_the_default_port_is_told(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run warns that its pages do not show it; a schedule is not told to start a server on the same port."""
    warned: list[str] = []

    class Telling(Display):
        def warn(self, text: str) -> None:
            warned.append(text)

    monkeypatch.setattr(connection, "DEFAULT_PORT_TIMEOUT_S", 0.01)
    shown = current_display.set(Telling())
    try:
        with socket.socket() as port:
            port.bind(("127.0.0.1", 0))
            port.listen()
            url = f"http://127.0.0.1:{port.getsockname()[1]}/api"
            assert find_users_server(environ, default_api_url=url) is None
            with pytest.raises(ServerError, match="take another port"):
                require_lasting_server(None, "imagen serve", default_api_url=url)
    finally:
        current_display.reset(shown)
    with pytest.raises(ServerError, match="Two commands"):
        require_lasting_server(None, "imagen serve", default_api_url=NOWHERE)
    assert [url in line for line in warned] == [True]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ALL_PROXY", "socks5://me:pass-word@127.0.0.1:1", "SOCKS proxy, which is not supported"),
        ("HTTP_PROXY", "http://me:pass-word@[::", "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY holds no address"),
        ("NO_PROXY", "[::", "NO_PROXY holds no address"),
    ],
)
def test_a_proxy_that_no_client_can_use_is_told_before_a_server_is_started(  # noqa: PLR0917  its fixtures
    variable: str, value: str, said: str, tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's client would fail on it with a started server, and advise a package or Prefect's settings; no login is shown."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=said) as caught:
        _connect(tmp_path, environ)
    assert "pass-word" not in str(caught.value)
    assert _files(tmp_path) == set()


def test_whom_to_trust_is_left_to_prefect(tmp_path: Path, environ: dict[str, str]) -> None:
    """A server with a certificate of its own answers; Prefect has settings for such, and judges it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    with _listening(b"true", context) as url:
        environ["PREFECT_API_URL"] = url
        assert _connect(tmp_path / "state", environ).api_url == url


def test_healthy_server_on_default_port_is_used(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running Prefect server is used instead of a second one, and not through the user's proxy."""
    monkeypatch.setattr(connection, "DEFAULT_PORT_TIMEOUT_S", PATIENCE_S)
    environ |= {"HTTP_PROXY": "http://proxy.example.org:3128", "NO_PROXY": "example.org"}
    with _listening(b"true") as url:
        handle = _connect(tmp_path, environ, default_api_url=url)
    assert (handle.api_url, _files(tmp_path)) == (url, set())
    assert (environ["PREFECT_API_URL"], environ["NO_PROXY"]) == (url, "example.org,127.0.0.1")


def test_another_program_on_the_port_is_not_prefect() -> None:
    """Port 4200 is popular: a page that answers 200 to everything is not taken for a Prefect server."""
    with _listening(b"<!doctype html>") as url:
        assert not is_healthy(url, timeout_s=1)


def test_analytics_are_off_unless_the_user_decided(tmp_path: Path) -> None:
    """Nothing is reported to Prefect by default, and the user's own word on it is kept."""
    untouched = {"PREFECT_HOME": str(tmp_path)}
    decided = untouched | {"PREFECT_SERVER_ANALYTICS_ENABLED": "true", "DO_NOT_TRACK": "0"}
    expected = decided.copy()
    set_quiet_defaults(untouched)
    set_quiet_defaults(decided)
    assert (untouched["PREFECT_SERVER_ANALYTICS_ENABLED"], untouched["DO_NOT_TRACK"]) == ("false", "1")
    assert decided == expected


def test_prefect_is_not_imported() -> None:
    """Finding the server must come before `import prefect`, which reads its settings once."""
    code = "import sys, tasks.orchestration.server.connection; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_state_folder_that_cannot_be_made(tmp_path: Path, environ: dict[str, str]) -> None:
    """A state folder that cannot be written is one clear message."""
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match=r"cannot be started \(.*file/state\)"):
        _connect(tmp_path / "file/state", environ)


def test_timeout_ends_the_server(tmp_path: Path, environ: dict[str, str]) -> None:
    """A start that takes too long is shown every second, then given up: the process is gone, the log is named."""
    reported_s: list[float] = []
    with pytest.raises(ServerError, match=r"(?s)did not answer within 2 s.*last-failure\.log"):
        connect(tmp_path, environ, on_wait=reported_s.append, startup_timeout_s=1.5, default_api_url=NOWHERE)
    assert reported_s
    assert _files(tmp_path) == {"last-failure.log"}


def test_starts_take_turns(tmp_path: Path, environ: dict[str, str]) -> None:
    """Only one run at a time starts a server: two would make Prefect's database at once."""
    get_servers_folder(tmp_path).mkdir()
    with (
        FileLock(get_servers_folder(tmp_path) / "start.lock"),
        pytest.raises(ServerError, match="Another run has been"),
    ):
        connect(tmp_path, environ, on_wait=lambda _s: None, startup_timeout_s=0.1, default_api_url=NOWHERE)


def _set_revision(database: Path, revision: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        db.execute("DELETE FROM alembic_version")
        db.execute("INSERT INTO alembic_version VALUES (?)", (revision,))


@pytest.mark.server
def test_a_failed_start_names_its_cause(tmp_path: Path, environ: dict[str, str]) -> None:
    """The message has the reason, the output's file and the database's, also where Prefect's loggers show nothing."""
    database = get_database_file(get_servers_folder(tmp_path))
    database.parent.mkdir(parents=True)
    _set_revision(database, "of-another-time")
    environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    with pytest.raises(ServerError, match=r"stopped while starting: .*of-another-time") as caught:
        _connect(tmp_path, environ)
    log = get_servers_folder(tmp_path) / "last-failure.log"
    assert [str(path) in str(caught.value) for path in (log, database)] == [True, True]
    assert "of-another-time" in log.read_text()
    assert "PREFECT_API_URL" not in environ


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("", None),
        ("\n", None),
        ("Killed\n", "Killed"),
        ("Traceback\n  File x\na.b.SomeError: it broke\n[SQL: select]\n", "a.b.SomeError: it broke"),
        (
            "x.ValidationError: 2 validation errors for LoggingSettings\nlevel\n  Input should be 'INFO' [type=literal]\n",
            "a setting of Prefect cannot be used (LoggingSettings.level: Input should be 'INFO')",
        ),
        ("ValueError: first\nsqlite3.OperationalError: second\nbye", "sqlite3.OperationalError: second"),
    ],
)
def test_the_cause_is_the_last_error_of_the_output(output: str, cause: str | None, tmp_path: Path) -> None:
    """What stands around it, or nothing at all, is no cause."""
    (tmp_path / "log").write_text(output)
    assert find_cause(tmp_path / "log") == cause
    assert find_cause(tmp_path / "missing") is None


def test_a_server_of_ours_that_fails_names_the_disk_before_any_setting(tmp_path: Path) -> None:
    """A folder that takes no files keeps the cause out of the log; PREFECT_API_URL is for a server of the user's."""
    assert "PREFECT_ variables" in str(ServerHandle(api_url="http://x/api").explain(ValueError("no such block")))
    users, refused = (
        ServerHandle(api_url="http://x/api"),
        RuntimeError("500 for url http://127.0.0.1 - For more information look elsewhere\nmore"),
    )
    assert "500 for url http://127.0.0.1)" in str(users.explain(refused))
    assert "PREFECT_API_URL" in str(users.explain(refused))
    with subprocess.Popen(["true"]) as process:
        record = ServerRecord(pid=0, start_time="", port=1, parent_pid=0, parent_start_time="", token="t")
        for folder, cause in ((tmp_path / "gone", "No such file"), (tmp_path, "500 for url")):
            server = TemporaryServer(process=process, folder=folder, record=record)
            words = str(ServerHandle(api_url=users.api_url, _server=server).explain(refused))
            assert cause in words
            assert "PREFECT_API_URL" not in words


def _run(state_dir: Path, environ: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own; with a word, one that waits for the end of its input."""
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(state_dir), *words],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@contextlib.contextmanager
def _waiting_run(state_dir: Path, environ: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A run with its server up, and the id of the server's process."""
    with _run(state_dir, environ, "wait") as run:
        deadline = time.monotonic() + PATIENCE_S
        while not (records := list(get_servers_folder(state_dir).glob("*.json"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        record = json.loads(records[0].read_text())
        while not is_healthy(f"http://127.0.0.1:{record['port']}/api", timeout_s=1) and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            yield run, record["pid"]
        finally:
            run.kill()


@dataclass(frozen=True)
class FirstRuns:
    """A state folder whose database two runs made at once, beside a Prefect home of a newer version."""

    home: Path
    database: Path
    ends: list[tuple[int, bytes, set[str]]]
    """Exit status, output and files left of each."""

    def give_database(self, state_dir: Path) -> None:
        """Spare a test the seconds of making one."""
        get_servers_folder(state_dir).mkdir(parents=True)
        shutil.copy(self.database, get_database_file(get_servers_folder(state_dir)))


@pytest.fixture(scope="module")
def first_runs(tmp_path_factory: pytest.TempPathFactory) -> FirstRuns:
    """Two runs at the same time, the first in their state folder."""
    folder = tmp_path_factory.mktemp("first")
    home, state = folder / "home", folder / "state"
    home.mkdir()
    _set_revision(home / "prefect.db", "of-a-newer-prefect")
    runs = [_run(state, _environ(home)) for _ in range(2)]
    outputs = [run.communicate(timeout=PATIENCE_S)[0] for run in runs]
    ends = [(run.returncode, output, _files(state)) for run, output in zip(runs, outputs, strict=True)]
    return FirstRuns(home, get_database_file(get_servers_folder(state)), ends)


@pytest.mark.soak
@pytest.mark.server
def test_two_first_runs_at_once(first_runs: FirstRuns) -> None:
    """Two runs may make the database at once: both get a server, print nothing and leave nothing behind.

    The database in `PREFECT_HOME`, which a newer Prefect has migrated, keeps neither from starting and stays as it is.
    """
    assert first_runs.ends == [(0, b"", set())] * 2
    with contextlib.closing(sqlite3.connect(first_runs.home / "prefect.db")) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [("of-a-newer-prefect",)]


@pytest.mark.server
def test_start_and_stop(tmp_path: Path, environ: dict[str, str]) -> None:
    """A started server answers where PREFECT_API_URL says, to its own pages only, and `stop` ends it all."""
    handle = _connect(tmp_path, environ)
    (record,) = get_servers_folder(tmp_path).glob("*.json")
    assert environ["PREFECT_API_URL"] == handle.api_url
    assert is_healthy(handle.api_url, timeout_s=PATIENCE_S)
    answer = CLIENT.get(f"{handle.api_url}/health", headers={"Origin": "https://a-page.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    # A page whose own name was pointed to this machine is of the same origin, and its requests bear that name.
    for host in ("a-page.example", f"a-page.example:{handle.api_url.split(':')[2][:-4]}", "localhost"):
        answer = CLIENT.get(f"{handle.api_url}/health", headers={"Host": host})
        assert answer.status_code == httpx.codes.MISDIRECTED_REQUEST
    handle.stop()
    handle.stop()
    assert read_start_time(int(record.stem)) is None
    assert (_files(tmp_path), "PREFECT_API_URL" in environ) == (set(), False)


@pytest.mark.soak
@pytest.mark.server
def test_server_ends_when_its_run_is_killed(tmp_path: Path, first_runs: FirstRuns) -> None:
    """SIGKILL of a run leaves no server behind, without anybody's help."""
    first_runs.give_database(tmp_path)
    with _waiting_run(tmp_path, _environ(first_runs.home)) as (run, server_pid):
        run.kill()
        run.wait()
        _wait_until_gone(server_pid)


@pytest.mark.soak
@pytest.mark.server
def test_stopped_orphan_is_ended_by_the_next_run(tmp_path: Path, first_runs: FirstRuns) -> None:
    """A server that could not notice the end of its run is ended by the next one."""
    first_runs.give_database(tmp_path)
    with _waiting_run(tmp_path, _environ(first_runs.home)) as (run, server_pid):
        os.kill(server_pid, signal.SIGSTOP)
        run.kill()
        run.wait()
        with _listening(b"true") as url:
            _connect(tmp_path, _environ(first_runs.home) | {"PREFECT_API_URL": url})
        _wait_until_gone(server_pid)
    assert _files(tmp_path) == set()


@pytest.mark.soak
@pytest.mark.server
def test_ctrl_c_of_the_terminal_leaves_the_server_running(tmp_path: Path, first_runs: FirstRuns) -> None:
    """Ctrl-C goes to the run's process group: the server is not in it, so that the run can drain."""
    first_runs.give_database(tmp_path)
    with _waiting_run(tmp_path, _environ(first_runs.home)) as (run, server_pid):
        assert os.getpgid(server_pid) != os.getpgid(run.pid)
        assert os.getsid(server_pid) == server_pid
