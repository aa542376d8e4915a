"""Results of a batch's lines: kept on disk, because a batch of images is gigabytes, and read one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json_bytes
from tasks.backends.client.payloads import MOST_ANSWER_BYTES
from tasks.backends.client.refusals import find_codes, is_moderation, is_out_of_credit
from tasks.backends.openai.answer import ImageAnswer, parse_image_answer
from tasks.backends.openai.api import build_moderation_error, read_error
from tasks.core.errors import JobError, NoRoom, Rejected, Transient
from tasks.core.values import parse_count

EXPIRED = "batch_expired"
CANCELLED = "batch_cancelled"
# OpenAI limits the tokens that are queued for a model, over all batches of an organisation.
COME_LATER = frozenset({"token_limit_exceeded", "rate_limit_exceeded"})
"""Codes of a batch that was not begun because too much is queued already; nothing is billed."""
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
        for path in paths:
            place = 0
            with path.open("rb") as file:
                # A line is one image at most; a longer one is read in parts, none of which is a line.
                while line := file.readline(MOST_ANSWER_BYTES):
                    if name := _parse_object(line).get("custom_id"):
                        self._places[str(name)] = (path, place)
                    place += len(line)
        self._unread = set(self._places)

    def answer(self, custom_id: str) -> ImageAnswer:
        """Return the answer to a line.

        Raises:
            JobError: It ended without an image; its type says whether another attempt may help, and its cost is 0
                where the batch says that the request was not done.
        """
        # A batch that failed as a whole, or expired before its turn, has no line for the job.
        if custom_id not in self._places:
            raise self._without_a_line()
        path, place = self._places[custom_id]
        with path.open("rb") as file:
            file.seek(place)
            line = file.readline(MOST_ANSWER_BYTES)
        self._unread.discard(custom_id)
        return _parse_line(_parse_object(line))

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


def _find_problem(errors: Any) -> Mapping[str, Any]:
    """The first problem that a batch names; an empty one where it names none."""
    listed = errors.get("data") if isinstance(errors, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return first if isinstance(first, dict) else {}


def _parse_line(line: Mapping[str, Any]) -> ImageAnswer:
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, dict):
        raise _build_undone_error(error if isinstance(error, dict) else {})
    body = response.get("body")
    # The line's own status is that of the request inside the batch, not that of the batch.
    if response.get("status_code") != httpx.codes.OK:
        raise _build_failure(response, body if isinstance(body, dict) else {})
    return parse_image_answer(body, json.dumps(body).encode(), "application/json")


def _build_undone_error(error: Mapping[str, Any]) -> JobError:
    """A request that the batch has not done; only done ones are billed (OpenAI's batch guide, read 2026-11)."""
    words = str(error.get("message") or "the batch has not done it")
    if error.get("code") == EXPIRED:
        return Transient(words, kind="expired")
    return JobError(words, kind="canceled" if error.get("code") == CANCELLED else None)


def _build_failure(response: Mapping[str, Any], body: Mapping[str, Any]) -> JobError:
    status, error, codes = parse_count(response.get("status_code"), most=999) or 0, read_error(body), find_codes(body)
    words = " ".join(str(error.get("message") or f"status {status}").split())
    if is_moderation(words, codes):
        return build_moderation_error(error, words)
    # An empty account is not this job's fault: its next attempt stops the batch, unless somebody has paid meanwhile.
    is_passing = status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR
    return Transient(words) if is_passing or is_out_of_credit(words, codes) else Rejected(words)
