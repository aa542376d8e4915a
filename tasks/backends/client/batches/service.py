"""The interface to a batch API, whatever its calls are named; its batches have the form of OpenAI's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tasks.core.values import parse_number

MARK = "imagen"
"""Begins, or is, what marks a batch as created by this program."""
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
Page = TypeVar("Page")
EARLIEST_S, LATEST_S = 1e9, 1e11
"""Instants in seconds since 1970 of a batch; others are none."""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One line of a batch."""

    custom_id: str
    body: Mapping[str, Any]


class AskPage(Protocol):
    """Makes the call for one page of a list, perhaps more than once."""

    async def __call__(self, get: Callable[[], Awaitable[Page]], /) -> Page:
        """The page that `get` gives."""


class BatchService(Protocol):
    """The calls of one batch API.

    A batch is a mapping with `id`, `status` (one of `ENDED` at its end), `created_at` in seconds since 1970,
    `output_file_id` and `error_file_id`, and `errors: {data: [{code, message}]}`. What does not apply is left out.
    """

    async def send(self, lines: Sequence[BatchLine]) -> str:
        """Create one batch of these lines and give its id. It costs money; call it once.

        Raises:
            NotCreated, Throttled, Rejected: Nothing was created.
            Ambiguous: It may have been created.
            BatchStopped: Key or credit.
        """

    async def get(self, batch_id: str) -> dict[str, Any]:
        """One batch; free.

        Raises:
            OutputGone: There is no such batch any more.
            BatchStopped: The key is no longer accepted.
            httpx.HTTPError: No answer, or one that says nothing; asking again is free.
        """

    async def created_since(self, since: datetime, ask: AskPage) -> list[dict[str, Any]]:
        """Batches that may be of this program and were created at or after an instant, each page by `ask`; free.

        Raises:
            httpx.HTTPError, BatchStopped: As `get`; also where the list cannot be read to its end.
        """

    async def download(self, file_id: str, path: Path) -> None:
        """Write a file's content to `path`, piece by piece; free.

        Raises:
            OutputGone: The file is there no more.
            httpx.HTTPError, BatchStopped: As `get`.
        """

    async def ask_time(self) -> None:
        """Ask for anything that is free: the answer tells the service's time.

        Raises:
            httpx.HTTPError: No answer.
        """


def may_be_since(batch: Mapping[str, Any], since: datetime) -> bool:
    """True unless the batch was certainly created before an instant: one whose time cannot be read may be the one."""
    created_s = parse_number(batch.get("created_at"), most=LATEST_S)
    return created_s is None or created_s < EARLIEST_S or created_s >= since.timestamp()
