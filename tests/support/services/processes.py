"""Running other people's programs: on free ports, and never as root."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.services.keeper import FOLDERS, MARKS, name_service_folder

BELOW_GIVEN_PORTS = range(10_000, 30_000)
"""Ports that neither Linux nor macOS gives to a program that asks for any."""


@dataclass(frozen=True)
class Account:
    """The user that a service runs as; None: the one who runs the tests."""

    name: str | None

    def own(self, path: Path) -> None:
        """Give a file or folder to the account."""
        if self.name is not None:
            shutil.chown(path, self.name, pwd.getpwnam(self.name).pw_gid)

    @property
    def popen(self) -> dict[str, object]:
        """The options for `subprocess`."""
        if self.name is None:
            return {}
        return {"user": self.name, "group": pwd.getpwnam(self.name).pw_gid, "extra_groups": []}


def unprivileged(*wanted: str) -> Account:
    """The first of these accounts that exists, for tests that run as root."""
    if os.geteuid() != 0:
        return Account(None)
    known = {entry.pw_name for entry in pwd.getpwall()}
    return Account(next(name for name in (*wanted, "nobody") if name in known))


@contextmanager
def service_folder(account: Account) -> Iterator[Path]:
    """A folder with a short path (sockets have a limit of 107 bytes) that the account reaches and owns."""
    folder = Path(tempfile.mkdtemp(prefix=name_service_folder(), dir=FOLDERS))
    account.own(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reachable(program: Path, folder: Path, account: Account) -> Path:
    """The program itself, or a copy of its file in `folder` where the account may not go to it."""
    if account.name is None or all(parent.stat().st_mode & 0o1 for parent in program.resolve().parents):
        return program
    copy = folder / program.name
    shutil.copy2(program, copy)
    account.own(copy)
    return copy


def service_environ() -> dict[str, str]:
    """The environment of somebody else's program: where programs are found, and whose end it must not outlive."""
    return {name: os.environ[name] for name in ("PATH", MARKS) if name in os.environ}


def free_port() -> int:
    """A free port of loopback that no system gives away by itself: whoever is to listen there finds it free a while later too."""
    while True:
        port = BELOW_GIVEN_PORTS.start + secrets.randbelow(len(BELOW_GIVEN_PORTS))
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
