"""Results of a batch's lines: kept on disk, because a batch of images is gigabytes, and read one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json_bytes
from tasks.backends.client.payloads import MOST_ANSWER_BYTES
from tasks.core.errors import JobError, NoRoom, Rejected, Transient
from tasks.core.values import parse_count

# OpenAI limits the tokens that are queued for a model, over all batches of an organisation.
COME_LATER = frozenset({"token_limit_exceeded", "rate_limit_exceeded"})
"""Codes of a batch that was not begun because too much is queued already; nothing is billed."""
MOST_LINES = 10_000_000
"""Of a batch; a larger number is none."""
ROOM_PAUSE_S = 300.0
"""Before such a batch is sent again: room comes when another one ends, which takes an hour rather than a minute."""


class BatchResults:
    """The lines of one batch that has ended."""

    def __init__(self, batch: Mapping[str, Any], paths: Sequence[Path]) -> None:
        """Read where each line of its files begins; this reads them once."""
        self._batch = batch
        self._paths = paths
        # Only where each line begins is kept in memory: the lines hold the images.
        self._places: dict[str, tuple[Path, int]] = {}
        done: set[str] = set()
        for path in paths:
            place = 0
            with path.open("rb") as file:
                # A line is one image at most; a longer one is read in parts, none of which is a line.
                while line := file.readline(MOST_ANSWER_BYTES):
                    parsed = _parse_object(line)
                    # OpenAI names a line by its custom_id, Google by its key.
                    name = parsed.get("custom_id") or parsed.get("key")
                    # Of two lines of one job the one that was done counts: the other says that nothing was, and the job
                    # would be paid for again.
                    if name and str(name) not in done:
                        self._places[str(name)] = (path, place)
                        done |= {str(name)} if _is_done(parsed) else set()
                    place += len(line)
        self._unread = set(self._places)

    def names(self) -> frozenset[str]:
        """The names of the lines that it has."""
        return frozenset(self._places)

    def is_whole(self) -> bool:
        """True if every job of the batch has a line, or none was begun: a name that is not there was not sent in it."""
        if self._batch.get("status") == "failed":
            return True
        counts = self._batch.get("request_counts")
        total = parse_count(counts.get("total"), most=MOST_LINES) if isinstance(counts, dict) else None
        return len(self._places) >= (total or 1)

    def read_line(self, custom_id: str) -> dict[str, Any]:
        """Return the object of a line.

        Raises:
            JobError: There is none; its type says whether another attempt may help, and its cost is 0 where the batch
                says that nothing was done.
        """
        # A batch that failed as a whole, or expired before its turn, has no line for the job.
        if custom_id not in self._places:
            raise self._without_a_line()
        path, place = self._places[custom_id]
        with path.open("rb") as file:
            file.seek(place)
            line = file.readline(MOST_ANSWER_BYTES)
        self._unread.discard(custom_id)
        return _parse_object(line)

    def all_read(self) -> bool:
        """True if it has lines, and each was read."""
        return bool(self._places) and not self._unread

    def remove(self) -> None:
        """Remove its files."""
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _without_a_line(self) -> JobError:
        status = str(self._batch.get("status"))
        problem = _find_problem(self._batch.get("errors"))
        code, words = problem.get("code"), str(problem.get("message") or f"the batch ended as {status}")
        if status == "failed":
            # Seen from the job: it was never begun, so waiting for room is free. Anything else would fail the same way
            # again.
            return NoRoom(words, retry_after_s=ROOM_PAUSE_S) if code in COME_LATER else Rejected(words)
        if status == "expired":
            return Transient("the batch expired before its turn came", kind="expired", cost_micros=None)
        return JobError(f"the batch ended as {status} without this job", kind="no_output", cost_micros=None)


def _parse_object(line: bytes) -> dict[str, Any]:
    """The object of a line; an empty one where it holds none."""
    try:
        found = parse_json_bytes(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_done(line: Mapping[str, Any]) -> bool:
    """True if a line holds the answer of a request that was done."""
    response = line.get("response")
    # OpenAI's lines have the request's own status, Google's only an answer.
    return (
        isinstance(response, dict) and bool(response) and response.get("status_code", httpx.codes.OK) == httpx.codes.OK
    )


def _find_problem(errors: Any) -> Mapping[str, Any]:
    """The first problem that a batch names; an empty one where it names none."""
    listed = errors.get("data") if isinstance(errors, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return first if isinstance(first, dict) else {}
