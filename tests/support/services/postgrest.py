"""A real PostgREST before the session's PostgreSQL, set up as Supabase sets it up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.services.asking import answers
from tests.support.services.postgresql import PASSWORD, Postgresql
from tests.support.services.processes import (
    Account,
    free_port,
    reachable,
    service_environ,
    service_folder,
    unprivileged,
)
from tests.support.waiting import PATIENCE_S

SECRET = "a-secret-that-only-this-test-run-knows-0123456789"
MAX_ROWS = 1_000
"""Supabase's own limit."""
PROGRAM = Path(sys.prefix) / "postgrest" / "postgrest"
"""The place where `make test` puts it."""

SUPABASE_ROLES = f"""
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit password '{PASSWORD}';
grant anon, authenticated, service_role to authenticator;
"""


@dataclass
class Postgrest:
    """The server, which can be killed and started again."""

    program: Path
    folder: Path
    account: Account
    settings: dict[str, str]
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it knows the database."""
        ports = {"SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(self.port), "ADMIN_SERVER_PORT": str(self.admin_port)}
        environ = {f"PGRST_{name}": value for name, value in {**self.settings, **ports}.items()}
        with (self.folder / "postgrest.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.program)], env={**environ, **service_environ()}, stdout=log, stderr=log,
                cwd=self.folder, **self.account.popen,
            )  # type: ignore[call-overload]  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while not self._is_ready():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """The server's log."""
        return (self.folder / "postgrest.log").read_text(errors="replace")

    def _is_ready(self) -> bool:
        answer = answers(f"http://127.0.0.1:{self.admin_port}/ready")
        return answer is not None and answer.is_success


def key(role: str = "service_role", *, expires_in_s: float = 3_600, secret: str = SECRET) -> str:
    """A key as Supabase's older ones are: a JWT with a role."""
    claims = {"role": role, "exp": int(time.time() + expires_in_s)}
    head, body = (_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{_base64(signature)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def running_postgrest(database: Postgresql, **settings: str) -> Iterator[Postgrest]:
    """A PostgREST for the duration of the block; `settings` are its own, as in its environment without PGRST_."""
    if not PROGRAM.exists():
        pytest.skip("PostgREST is missing; `make test` gets it from npm where it can, and says so where it cannot")
    account = unprivileged()
    with service_folder(account) as folder:
        defaults = {
            "DB_URI": database.url(user="authenticator"),
            "DB_SCHEMAS": "public,mai",
            "DB_ANON_ROLE": "anon",
            "DB_MAX_ROWS": str(MAX_ROWS),
            "JWT_SECRET": SECRET,
            "LOG_LEVEL": "info",
        }
        server = Postgrest(reachable(PROGRAM, folder, account), folder, account, {**defaults, **settings})
        server.start()
        try:
            yield server
        finally:
            server.kill()
