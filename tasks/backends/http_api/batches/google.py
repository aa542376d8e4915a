"""The calls of Google's batch API, and what each answer proves.

Source: google-genai 3.6.1 (batches.py, files.py, _transformers.py) and the Gemini API's batch guide; read 2026-11.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json, parse_json_object
from tasks.backends.client.batches.files import download_lines
from tasks.backends.client.batches.service import AskPage, BatchLine, may_be_since
from tasks.backends.http_api.api import DescribedApi
from tasks.core.errors import Ambiguous, JobError, NotCreated, OutputGone, Rejected

STATES = {
    "SUCCEEDED": "completed",
    "PARTIALLY_SUCCEEDED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}
"""Of the ends, behind BATCH_STATE_ or JOB_STATE_; every other state is one of a batch that goes on."""
NO_ROOM = 8
"""Code of an operation that was refused because too much is queued: RESOURCE_EXHAUSTED (google.rpc.Code)."""
PAGE, MOST_PAGES = 100, 1_000
MOST_DIGITS = 12
"""Of a number of requests."""
_BATCH = re.compile(r"batches/([\w.-]{1,200})")
_FILE = re.compile(r"files/[\w.-]{1,200}")


class GoogleBatches:
    """The batch API for one key and model; usable inside one event loop."""

    def __init__(
        self, api: DescribedApi, *, base: str, model: str, mark: str, sent: MutableMapping[str, frozenset[str]]
    ) -> None:
        """Talk through the connections of `api`; names of batches begin with `mark`, and `sent` keeps what was sent."""
        self._api = api
        self._base = base.rstrip("/")
        self._model = model
        self._mark = mark
        self.sent = sent
        """Names of the lines that this process has sent, by the name of their batch."""

    async def send(self, lines: Sequence[BatchLine]) -> str:
        """See `tasks.backends.client.batches.service.BatchService`."""
        # A name of its own at every try: the same one would make two batches that nobody can tell apart.
        name = f"{self._mark}{uuid.uuid4().hex}"
        file_name = await self._upload(lines, name)
        # Before the create: a batch whose answer is lost is found under this name, and holds these lines.
        self.sent[name] = frozenset(line.custom_id for line in lines)
        answer = await self._api.calls.pay(
            "POST",
            f"{self._base}/v1beta/models/{self._model}:batchGenerateContent",
            headers=self._api.fill_headers(),
            json={"batch": {"displayName": name, "inputConfig": {"fileName": file_name}}},
        )
        if not answer.is_success:
            raise self._api.explain_refusal(answer)
        found = _BATCH.fullmatch(str(parse_json_object(answer).get("name")))
        if found is None:
            raise Ambiguous("the answer to the create of a batch could not be read", cost_micros=None)
        return found[1]

    async def _upload(self, lines: Sequence[BatchLine], name: str) -> str:
        """Store the lines of a batch as a file, which costs nothing, and give the file's name.

        Raises:
            NotCreated, Throttled, Rejected, BatchStopped: Nothing was created that costs money.
        """
        # The request of a line is the whole body of a single call: the aspect ratio beside it in place of inside its
        # generationConfig was ignored (google-gemini/cookbook, issue 1018).
        data = b"".join(
            json.dumps({"key": line.custom_id, "request": line.body}, ensure_ascii=False).encode() + b"\n"
            for line in lines
        )
        protocol = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(len(data)),
            "X-Goog-Upload-Header-Content-Type": "application/jsonl",
        }
        begun = await self._store(
            f"{self._base}/upload/v1beta/files",
            protocol,
            json={"file": {"displayName": name, "mimeType": "application/jsonl"}},
        )
        try:
            # The key goes along, so it goes nowhere but to the service's own hosts.
            address = self._api.addresses.check(begun.headers.get("x-goog-upload-url", ""))
        except JobError as error:
            raise Rejected(f"the batch's file cannot be stored ({error})") from error
        protocol = {"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"}
        document = parse_json_object(await self._store(address, protocol, content=data)).get("file")
        stored = document.get("name") if isinstance(document, dict) else None
        if not isinstance(stored, str) or not _FILE.fullmatch(stored):
            raise NotCreated("the batch's file could not be stored (the answer names no file)")
        return stored

    async def _store(self, url: str, headers: Mapping[str, str], **content: Any) -> httpx.Response:
        try:
            answer = await self._api.calls.pay("POST", url, headers={**self._api.fill_headers(), **headers}, **content)
        # A file without a batch costs nothing, so an upload whose answer was lost is simply made again.
        except Ambiguous as error:
            raise NotCreated(f"the batch's file could not be stored ({error})") from error
        if answer.is_success:
            return answer
        refusal = self._api.explain_refusal(answer)
        raise (
            NotCreated(f"the batch's file could not be stored ({refusal})")
            if isinstance(refusal, Ambiguous)
            else refusal
        )

    async def get(self, batch_id: str) -> dict[str, Any]:
        """See `BatchService`."""
        answer = await self._ask(f"/v1beta/batches/{batch_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise OutputGone("the provider knows no such batch any more", cost_micros=None)
        return _parse_batch(self._read(answer), answer)

    async def created_since(self, since: datetime, ask: AskPage) -> list[dict[str, Any]]:
        """See `BatchService`."""
        found: list[dict[str, Any]] = []
        token = ""
        for _ in range(MOST_PAGES):
            batches, token = await ask(partial(self._get_page, token))
            # Nobody says in what order they come, so every page is read.
            found += [batch for batch in batches if may_be_since(batch, since) and self._may_be_ours(batch)]
            if not token:
                return found
        raise httpx.DecodingError("the list of batches has no end")

    async def _get_page(self, token: str) -> tuple[list[dict[str, Any]], str]:
        """The batches of a page, and the token of the next one."""
        answer = await self._ask("/v1beta/batches", pageSize=PAGE, **({"pageToken": token} if token else {}))
        page = self._read(answer)
        # An empty list is left out of an answer, so an object without one is an answer too.
        operations, more = page.get("operations", []), page.get("nextPageToken", "")
        if not isinstance(operations, list) or not isinstance(more, str):
            raise httpx.DecodingError("the list of batches cannot be read", request=answer.request)
        return [_parse_batch(operation, answer) for operation in operations], more

    async def download(self, file_id: str, path: Path) -> None:
        """See `BatchService`."""
        url = f"{self._base}/v1beta/{file_id}:download?alt=media"
        await download_lines(
            self._api.calls.http, url, path, require=self._api.require_free, headers=self._api.fill_headers()
        )

    async def ask_time(self) -> None:
        """See `BatchService`."""
        await self._ask("/v1beta/batches", pageSize=1)

    async def _ask(self, path: str, **query: Any) -> httpx.Response:
        return await self._api.calls.http.get(f"{self._base}{path}", params=query, headers=self._api.fill_headers())

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        self._api.require_free(answer)
        try:
            document = parse_json(answer)
        except ValueError as exc:
            raise httpx.DecodingError("the answer is not JSON", request=answer.request) from exc
        if not isinstance(document, dict):
            raise httpx.DecodingError("the answer cannot be read", request=answer.request)
        return document

    def _may_be_ours(self, batch: Mapping[str, Any]) -> bool:
        """True unless another batch's: names that were lost from the answer may be ours."""
        return not isinstance(batch["name"], str) or batch["name"].startswith(self._mark)


def _parse_batch(operation: Any, answer: httpx.Response) -> dict[str, Any]:
    """A batch in the form of `BatchService`.

    Raises:
        httpx.DecodingError: It cannot be read.
    """
    metadata = operation.get("metadata") if isinstance(operation, dict) else None
    found = _BATCH.fullmatch(str(operation.get("name"))) if isinstance(operation, dict) else None
    if not isinstance(metadata, dict) or found is None or not isinstance(metadata.get("state"), str):
        raise httpx.DecodingError("a batch cannot be read", request=answer.request)
    state = metadata["state"].rpartition("STATE_")[2]
    places = (metadata.get("output"), operation.get("response"))
    files = [place.get("responsesFile") for place in places if isinstance(place, dict)]
    error = operation.get("error")
    return {
        "id": found[1],
        "name": metadata.get("displayName"),
        "status": STATES.get(state, "in_progress"),
        "request_counts": {"total": _count_requests(metadata.get("batchStats"))},
        "created_at": _parse_time(metadata.get("createTime")),
        "output_file_id": next((name for name in files if isinstance(name, str) and _FILE.fullmatch(name)), None),
        "errors": {"data": [_parse_error(error)]} if isinstance(error, dict) else None,
    }


def _count_requests(stats: Any) -> int | None:
    # Google writes long integers as texts.
    text = str(stats.get("requestCount", "")) if isinstance(stats, dict) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def _parse_error(error: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "code": "rate_limit_exceeded" if error.get("code") == NO_ROOM else error.get("status"),
        "message": error.get("message"),
    }


def _parse_time(text: Any) -> float | None:
    """Seconds since 1970 of an RFC 3339 time; None for what is none."""
    try:
        # Google writes up to nine digits of a second, Python reads six.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text)))
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
