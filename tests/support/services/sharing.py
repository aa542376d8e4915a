"""What all processes of one test run use together, as a service: the first that needs it makes it, and ends it after the last."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

import pytest


@contextmanager
def share(
    tmp_path_factory: pytest.TempPathFactory, name: str, start: Callable[[], AbstractContextManager[str]]
) -> Iterator[str]:
    """The address of a service, for the duration of the block.

    Args:
        tmp_path_factory: Its folder has one for each process of the run, side by side.
        name: The service's, for all processes of the run.
        start: Starts it and gives its address. One process calls it, and its block ends after those of the others.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        with start() as address:
            yield address
        return
    place = tmp_path_factory.getbasetemp().parent / name
    with place.open("a+") as address_file, place.with_suffix(".users").open("a+") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # not while an owner ends the service
        fcntl.flock(address_file, fcntl.LOCK_EX)
        if address := _read(address_file):
            fcntl.flock(address_file, fcntl.LOCK_UN)
            yield address
            return
        with start() as address:
            address_file.write(address)
            address_file.flush()
            fcntl.flock(address_file, fcntl.LOCK_UN)
            try:
                yield address
            finally:
                fcntl.flock(users, fcntl.LOCK_EX)  # once the others have done with it
                address_file.truncate(0)  # whoever comes later starts another one


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
