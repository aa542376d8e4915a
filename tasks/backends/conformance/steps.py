"""Steps that the rules are written in: a job's whole way, the error that a call raises, a bounded wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import pytest

from tasks.backends.base import Backend
from tasks.backends.conformance.subject import Ending, Subject
from tasks.core.errors import ImagenError
from tasks.core.records import Job, Prediction

# Seconds: generous, because a test machine may be busy. A backend that hangs fails the rule instead of the whole run.
PATIENCE_S = 60.0


@asynccontextmanager
async def open_backend(subject: Subject, **changes: Any) -> AsyncIterator[Backend]:
    """A new instance, closed at the end."""
    backend = subject.backend(**changes)
    try:
        yield backend
    finally:
        await backend.close()


async def make_image(backend: Backend, job: Job) -> tuple[Prediction, bytes]:
    """The whole way of one job."""
    ended = await submit_and_wait(backend, job)
    return ended, await backend.fetch(job, ended)


async def submit_and_wait(backend: Backend, job: Job) -> Prediction:
    """A job's prediction, ended."""
    sent = await backend.submit(job, attempt=1)
    return await asyncio.wait_for(backend.wait(job, sent), PATIENCE_S)


async def catch_error(call: Awaitable[object]) -> ImagenError:
    """Return the error that the call raises."""
    try:
        await call
    except ImagenError as error:
        return error
    raise AssertionError("nothing was raised")


def make_end(subject: Subject, ending: Ending) -> None:
    """Let the next job end so, or skip the test."""
    if ending not in subject.endings:
        pytest.skip(f"the service of this backend has no such end: {ending}")
    subject.endings[ending]()


def assert_whole(data: bytes) -> None:
    """The bytes are a whole image."""
    from PIL import Image  # noqa: PLC0415  only where an image is looked at

    with Image.open(BytesIO(data)) as image:
        image.load()


def build_square(side_px: int) -> bytes:
    """A small PNG."""
    from PIL import Image  # noqa: PLC0415  only where an image is made

    file = BytesIO()
    Image.new("RGB", (side_px, side_px), (200, 80, 40)).save(file, "PNG")
    return file.getvalue()


def assert_no_secret(error: BaseException, subject: Subject) -> None:
    """The error's text holds none."""
    for secret in subject.secrets:
        assert secret not in str(error), "a message goes to logs, ledgers and screens"


def refuse_network(*_: object) -> None:
    """Stand for a connection that must not be made."""
    raise AssertionError("this must not ask anybody")
