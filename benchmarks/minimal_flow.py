"""The least that Prefect does: one flow, one task. Prints the instant at which the task runs, seconds since 1970.

`--with-libraries` imports what imagen stands on first.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module

from prefect import flow, task

LIBRARIES = ("sqlalchemy.ext.asyncio", "aiohttp", "jsonschema", "pyarrow.parquet", "PIL.Image", "typer", "yaml")
NOT_INSTALLED = ("numpy", "pandas")
"""As in `benchmarks.process`."""


@task
def first() -> None:
    """Say when."""
    print(time.time(), flush=True)  # noqa: T201  its parent reads it


@flow
def minimal() -> None:
    """Call the task."""
    first()


if __name__ == "__main__":
    if "--with-libraries" in sys.argv:
        sys.modules.update(dict.fromkeys(NOT_INSTALLED))  # type: ignore[arg-type]  # None: as if it were not there
        for library in LIBRARIES:
            import_module(library)
    minimal()
