"""The least that Prefect does: one flow, one task. Prints the instant at which the task runs, seconds since 1970.

`--with-libraries` imports what imagen stands on first.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module

from benchmarks.installed import as_installed

LIBRARIES = ("sqlalchemy.ext.asyncio", "aiohttp", "jsonschema", "PIL.Image", "typer", "yaml")


def say_when() -> None:
    """Run the flow."""
    from prefect import flow, task  # noqa: PLC0415  not before it is decided what is there to import

    @task
    def first() -> None:
        """Say when."""
        print(time.time(), flush=True)  # noqa: T201  its parent reads it

    @flow
    def minimal() -> None:
        """Call the task."""
        first()

    minimal()


if __name__ == "__main__":
    as_installed()
    for library in LIBRARIES if "--with-libraries" in sys.argv else ():
        import_module(library)
    say_when()
