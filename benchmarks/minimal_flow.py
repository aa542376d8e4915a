"""The least that Prefect does: one flow, one task. Prints the instant at which the task runs, seconds since 1970."""

from __future__ import annotations

import time

from prefect import flow, task


@task
def first() -> None:
    """Say when."""
    print(time.time(), flush=True)  # noqa: T201  its parent reads it


@flow
def minimal() -> None:
    """Call the task."""
    first()


if __name__ == "__main__":
    minimal()
