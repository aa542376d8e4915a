"""What came of a batch's lines: kept on disk, because a batch of pictures is gigabytes, and read one by one."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tasks.backends.openai.answer import ImageAnswer, UnreadableAnswer, build_image_answer
from tasks.backends.openai.api import MODERATION, NO_CREDIT, build_moderation_error, read_error
from tasks.core.errors import JobError, NoRoom, Rejected, Transient

EXPIRED = "batch_expired"
CANCELLED = "batch_cancelled"
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
        self._places: dict[str, tuple[Path, int]] = {}
        for path in paths:
            place = 0
            with path.open("rb") as file:
                for line in file:
                    if line.strip():
                        self._places[str(json.loads(line).get("custom_id"))] = (path, place)
                    place += len(line)
        self._unread = set(self._places)

    def answer(self, custom_id: str) -> ImageAnswer:
        """What a line was answered with.

        Raises:
            JobError: It ended without a picture; its type says whether another attempt may help, and its cost is 0
                where the batch says that the request was not done.
        """
        if custom_id not in self._places:
            raise self._without_a_line()
        path, place = self._places[custom_id]
        with path.open("rb") as file:
            file.seek(place)
            line = file.readline()
        self._unread.discard(custom_id)
        return _parse_line(json.loads(line))

    def all_read(self) -> bool:
        """Whether it has lines, and each was read."""
        return bool(self._places) and not self._unread

    def remove(self) -> None:
        """Remove its files."""
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _without_a_line(self) -> JobError:
        status = str(self._batch.get("status"))
        problems = (self._batch.get("errors") or {}).get("data") or [{}]
        code, words = problems[0].get("code"), str(problems[0].get("message") or f"the batch ended as {status}")
        if status == "failed":
            return NoRoom(words, retry_after_s=ROOM_PAUSE_S) if code in COME_LATER else Rejected(words)
        if status == "expired":
            return Transient("the batch expired before its turn came", kind="expired", cost_micros=None)
        return JobError(f"the batch ended as {status} without this job", kind="no_output", cost_micros=None)


def _parse_line(line: Mapping[str, Any]) -> ImageAnswer:
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, dict):
        raise _build_undone_error(error if isinstance(error, dict) else {})
    body = response.get("body")
    if response.get("status_code") != httpx.codes.OK:
        raise _build_failure(response, read_error(body if isinstance(body, dict) else {}))
    try:
        picture = _decode_image(body)
        return build_image_answer(body, picture, str(response.get("request_id") or line.get("id")))
    except UnreadableAnswer as exc:
        raise JobError(f"the batch's line cannot be read: {exc}", kind="no_output", cost_micros=None) from exc


def _decode_image(body: Any) -> bytes | None:
    data = body.get("data") if isinstance(body, dict) else None
    encoded = data[0].get("b64_json") if isinstance(data, list) and data and isinstance(data[0], dict) else None
    if not isinstance(encoded, str):
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as exc:
        raise UnreadableAnswer(f"its picture is damaged ({exc})") from exc


def _build_undone_error(error: Mapping[str, Any]) -> JobError:
    """A request that the batch has not done; only done ones are billed (OpenAI's batch guide, read 2026-11)."""
    words = str(error.get("message") or "the batch has not done it")
    if error.get("code") == EXPIRED:
        return Transient(words, kind="expired")
    return JobError(words, kind="canceled" if error.get("code") == CANCELLED else None)


def _build_failure(response: Mapping[str, Any], error: Mapping[str, Any]) -> JobError:
    status = int(response.get("status_code") or 0)
    words = " ".join(str(error.get("message") or f"status {status}").split())
    codes = {error.get("code"), error.get("type")}
    if codes & MODERATION:
        return build_moderation_error(error, words)
    # An empty account is not this job's fault: its next attempt stops the batch, unless somebody has paid meanwhile.
    if codes & NO_CREDIT or status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return Transient(words)
    return Rejected(words)
