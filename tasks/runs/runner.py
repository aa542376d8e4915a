"""Which runner a batch can use: what the chosen one needs is looked at before anything is written or sent."""

from __future__ import annotations

import os
from importlib.util import find_spec
from urllib.parse import urlsplit

from tasks.core.errors import ConfigError
from tasks.core.installation import install_command
from tasks.core.settings import RunnerSettings
from tasks.ledger.database.location import LedgerPlace, SqliteFile

PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}
"""What the extra of the same name brings."""


def check_runner(runner: RunnerSettings, ledger: LedgerPlace) -> None:
    """Pass when the runner can be used with the batch's ledger.

    Raises:
        ConfigError: Its extra is not installed, or workers do not reach the ledger. Nothing was spent.
    """
    kind = runner.kind
    if kind == "local":
        return
    if find_spec(PACKAGES[kind]) is None:
        raise ConfigError(
            f"--runner {kind}: {PACKAGES[kind]} is not installed; install it with: {install_command(kind)}"
        )
    if isinstance(ledger, SqliteFile):
        raise ConfigError(
            f"--runner {kind}: needs a ledger on PostgreSQL, which all workers reach and which keeps the limits that "
            "they share; a file in the output folder is for one process. Set `ledger: postgresql://user@host/database` "
            "in the configuration; a batch keeps the ledger that it began with"
        )
    if urlsplit(ledger.url).password is not None and "PGPASSWORD" not in os.environ:
        raise ConfigError(
            f"--runner {kind}: `ledger` holds a password, which never travels to workers; take it out of the URL and "
            "put it into PGPASSWORD or ~/.pgpass, here and where the workers run"
        )
