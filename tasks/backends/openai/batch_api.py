"""The calls of the Batch API, and what each answer proves.

Source: openai-python 3.57.0, types/batch.py and types/batch_create_params.py, and OpenAI's batch guide; read 2026-11.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json_object
from tasks.backends.client.batches.files import download_lines
from tasks.backends.client.batches.service import MARK, AskPage, BatchLine, may_be_since
from tasks.backends.client.calls import require_free_answer
from tasks.backends.openai.api import ImagesApi, read_error
from tasks.core.errors import Ambiguous, NotCreated, OutputGone
from tasks.core.values import parse_identifier

# The endpoint inside a batch is OpenAI's own path, whatever the base of the instance is.
ENDPOINT = "/v1/images/generations"
PAGE = 100
MOST_PAGES = 1_000
"""Of one look: 100,000 batches in the time that a look-up covers are no list of batches."""


class BatchApi:
    """The Batch API for one key; usable inside one event loop."""

    def __init__(self, images: ImagesApi, *, key_env: str | None) -> None:
        """Talk through the connections of `images`."""
        self._images = images
        self._key_env = key_env
        self._http = images.calls.http

    async def send(self, lines: Sequence[BatchLine]) -> str:
        """See `tasks.backends.client.batches.service.BatchService`."""
        # A name of its own at every try: the same one would make two batches that nobody can tell apart.
        name = uuid.uuid4().hex
        return await self.create(await self.upload(lines, name), name)

    async def upload(self, lines: Sequence[BatchLine], name: str) -> str:
        """Store the lines of a batch as a file, which costs nothing, and give the file's id.

        Raises:
            NotCreated: It is not there, or nobody knows; nothing was created that costs money.
            Throttled, Rejected, BatchStopped: As for any call.
        """
        # Built in memory: 200 jobs of some kilobytes each. Images are not sent through batches.
        data = b"".join(json.dumps(_build_line(asked), ensure_ascii=False).encode() + b"\n" for asked in lines)
        files = {"file": (f"{name}.jsonl", data, "application/jsonl")}
        try:
            answer = await self._images.calls.pay("POST", "/files", data={"purpose": "batch"}, files=files)
        # A file without a batch costs nothing, so an upload whose answer was lost is simply made again.
        except Ambiguous as error:
            raise NotCreated(f"the batch's file could not be stored ({error})") from error
        file_id = parse_json_object(answer).get("id")
        if answer.is_success and isinstance(file_id, str):
            return file_id
        refusal = self._images.refusal(answer)
        if isinstance(refusal, Ambiguous):
            # A 5xx to an upload is as free as a lost answer.
            raise NotCreated(f"the batch's file could not be stored ({refusal})")
        raise refusal

    async def create(self, file_id: str, name: str) -> str:
        """Create a batch of a stored file, under our own name for it, and give its id. It costs money; call it once.

        Raises:
            NotCreated, Throttled, Rejected: Nothing was created.
            Ambiguous: It may have been created.
            BatchStopped: Key or credit.
        """
        body = {
            "input_file_id": file_id,
            "endpoint": ENDPOINT,
            "completion_window": "24h",  # the only window that the API knows (read 2026-11)
            "metadata": {MARK: name},
        }
        answer = await self._images.calls.pay("POST", "/batches", json=body)
        if not answer.is_success:
            raise self._images.refusal(answer)
        batch_id = parse_json_object(answer).get("id")
        # A batch may exist whose id nobody knows: found later by the names in its file.
        if not isinstance(batch_id, str):
            raise Ambiguous("the answer to the create of a batch could not be read", cost_micros=None)
        return batch_id

    async def get(self, batch_id: str) -> dict[str, Any]:
        """One batch; free.

        Raises:
            OutputGone: There is no such batch any more.
            BatchStopped: The key is no longer accepted.
            httpx.HTTPError: No answer, or one that says nothing; asking again is free.
        """
        answer = await self._http.get(f"/batches/{batch_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise OutputGone("the provider knows no such batch any more", cost_micros=None)
        return self._free(answer, "status")

    async def ask_time(self) -> None:
        """Ask for one batch: the answer tells the service's time.

        Raises:
            httpx.HTTPError: No answer.
        """
        await self._http.get("/batches", params={"limit": 1})

    async def created_since(self, since: datetime, ask: AskPage) -> list[dict[str, Any]]:
        """Batches that may be of this program and were created at or after an instant, the newest first; free.

        Each page is read by `ask`.

        Raises:
            httpx.HTTPError, BatchStopped: As `get`; also where the list has no end, or an entry cannot be read.
        """
        found: list[dict[str, Any]] = []
        after: str | None = None
        for _ in range(MOST_PAGES):
            page, has_more = await ask(partial(self._get_page, after))
            found += [batch for batch in page if may_be_since(batch, since) and _may_be_ours(batch)]
            # The list comes newest first, so what follows is older too; one odd time among others ends nothing.
            if not has_more or not any(may_be_since(batch, since) for batch in page):
                return found
            # A page that says of itself that it follows would be asked for again and again.
            if page[-1]["id"] == after:
                break
            after = page[-1]["id"]
        raise httpx.DecodingError("the list of batches has no end")

    async def _get_page(self, after: str | None) -> tuple[list[dict[str, Any]], bool]:
        query = {"limit": PAGE} | ({} if after is None else {"after": after})
        return _parse_page(await self._http.get("/batches", params=query), self._free)

    async def custom_ids(self, file_id: str) -> frozenset[str]:
        """The names of the lines in a batch's input file; free.

        Raises:
            httpx.HTTPError, BatchStopped: As `get`.
        """
        answer = await self._http.get(f"/files/{file_id}/content")
        self._require(answer)
        try:
            names = [json.loads(line)["custom_id"] for line in answer.content.splitlines() if line.strip()]
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise httpx.DecodingError("the file of a batch cannot be read") from exc
        # A file without the names would prove that no job stands in it, and all of them would be paid for again.
        if not names or not all(isinstance(name, str) for name in names):
            raise httpx.DecodingError("the file of a batch names no jobs")
        return frozenset(names)

    async def download(self, file_id: str, path: Path) -> None:
        """Write a file's content to `path`, piece by piece; free.

        Raises:
            OutputGone: The file is there no more.
            httpx.HTTPError, BatchStopped: As `get`.
        """
        await download_lines(self._http, f"/files/{file_id}/content", path, require=self._require)

    def _free(self, answer: httpx.Response, needed: str) -> dict[str, Any]:
        self._require(answer)
        body = parse_json_object(answer)
        # An answer of 2xx that is no batch comes from something in between, and says nothing.
        if not isinstance(body.get(needed), str | list):
            raise httpx.DecodingError("the answer cannot be read", request=answer.request)
        return body

    def _require(self, answer: httpx.Response) -> None:
        detail = (
            ""
            if answer.is_success
            else self._images.calls.error_text(read_error(parse_json_object(answer)).get("message"))
        )
        require_free_answer(answer, service=self._images.service, key_env=self._key_env, detail=detail)


def _may_be_ours(batch: Mapping[str, Any]) -> bool:
    """True unless another program's: several use the same key, and their files are not to be read."""
    if isinstance(metadata := batch.get("metadata"), dict) and metadata:
        return MARK in metadata
    # What we wrote may have been lost from the answer; batches of texts are nobody's of ours.
    endpoint = batch.get("endpoint")
    return not isinstance(endpoint, str) or endpoint == ENDPOINT


def _parse_page(
    answer: httpx.Response, read: Callable[[httpx.Response, str], dict[str, Any]]
) -> tuple[list[dict[str, Any]], bool]:
    """The batches of a page, and whether another one follows.

    Raises:
        httpx.HTTPError, BatchStopped: It does not tell.
    """
    body = read(answer, "data")
    page, has_more = body["data"], body.get("has_more")
    # An entry that cannot be read may be the batch that is looked for, and an empty page with more after it has no end.
    is_whole = isinstance(page, list) and all(
        isinstance(batch, dict) and isinstance(batch.get("id"), str) and parse_identifier(batch["id"]) for batch in page
    )
    if not is_whole or not isinstance(has_more, bool) or (has_more and not page):
        raise httpx.DecodingError("the list of batches cannot be read", request=answer.request)
    return page, has_more


def _build_line(asked: BatchLine) -> dict[str, Any]:
    return {"custom_id": asked.custom_id, "method": "POST", "url": ENDPOINT, "body": asked.body}
