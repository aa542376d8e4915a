"""The calls of a described API, and what each answer proves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from tasks.backends.client.calls import SHORT_KEEPALIVE_S, HttpCalls, build_refusal, require_free_answer
from tasks.backends.http_api import answers
from tasks.backends.http_api.options import Call, HttpOptions
from tasks.backends.http_api.pointers import merge_into, read
from tasks.backends.http_api.template import fill, fill_address, fill_text
from tasks.backends.http_api.values import build_image_values, build_values, find_image_problems
from tasks.core.errors import Ambiguous, OutputGone, Refused, Rejected
from tasks.core.records import Job


class DescribedApi:
    """One API with its secrets; usable inside one event loop."""

    def __init__(
        self, options: HttpOptions, *, model: str, secrets: Mapping[str, str], connections: int, batch: str = ""
    ) -> None:
        """Talk as `options` says; `secrets` are the values of its environment variables, `batch` names the batch."""
        self._batch = batch
        self._options = options
        self._model = model
        self._env = {f"env:{name}": value for name, value in secrets.items()}
        self._keys = ", ".join(secrets) or "no variable"
        self._place = httpx.URL(fill_address(options.create.url, self._env))
        self.service = self._place.host
        self.calls = HttpCalls(
            secrets=list(secrets.values()),
            connections=connections,
            answer_timeout_s=options.timeout_s,
            keepalive_s=SHORT_KEEPALIVE_S,
        )

    async def create(self, job: Job, *, attempt: int) -> httpx.Response:
        """Make one prediction. It costs money; call it once.

        Raises:
            Throttled, NotCreated, Rejected, Refused: Nothing was created.
            Ambiguous: It may have been created.
            BatchStopped: Key or credit: nobody's prediction can be created now.
        """
        options = self._options
        for problem in find_image_problems(job, options):
            raise Rejected(problem, kind="input_image")
        pictures = await asyncio.to_thread(build_image_values, job, options)
        values = {**self._build_values(job), **pictures, "attempt": attempt, **self._env}
        request = _build_request(options.create, values)
        if "json" in request:
            merge_into(request["json"], options.opts_at, dict(job.backend_opts))
        if options.idempotency_header is not None:
            request["headers"][options.idempotency_header] = build_key(self._batch, job, attempt)
        answer = await self.calls.pay(options.create.method, timeout_s=options.timeout_s, **request)
        if answer.is_success:
            return answer
        words = self.error_text(answer)
        error = build_refusal(answer, words, service=self.service, key_env=self._keys)
        raise Refused(words) if answer.is_client_error and answers.is_refusal(words, options) else error

    async def poll(self, call: Call, prediction_id: str) -> Any:
        """The answer to a call about a prediction; free.

        Raises:
            OutputGone: There is no such prediction any more.
            BatchStopped: The key is no longer accepted.
            httpx.HTTPError: No answer, or one that says nothing; asking again is free.
        """
        return _parse_document(await self.ask(call, {"id": prediction_id, "model": self._model}))

    async def listed(self, job: Job, since: datetime) -> list[str]:
        """Ids of the predictions that the look-up shows for a job.

        Raises:
            httpx.HTTPError, BatchStopped: As `poll`.
        """
        find = self._options.find
        if find is None:
            return []
        values = {**self._build_values(job), "since": since.astimezone(UTC).isoformat()}
        items = read(_parse_document(await self.ask(find, values)), find.items)
        if not isinstance(items, list):
            raise httpx.DecodingError("the look-up's answer holds no list")
        return [str(found) for item in items if (found := read(item, find.id)) is not None]

    def _build_values(self, job: Job) -> dict[str, Any]:
        return {**build_values(job, self._options), "batch": self._batch}

    async def ask_time(self) -> None:
        """Ask the service for nothing: the answer tells its time.

        Raises:
            httpx.HTTPError: No answer.
        """
        await self.calls.http.head(str(self._place.join("/")))

    async def ask(self, call: Call, values: Mapping[str, Any]) -> httpx.Response:
        """The answer to a call that may be repeated at will.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `poll`.
        """
        answer = await self.calls.http.request(call.method, **_build_request(call, {**values, **self._env}))
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            raise OutputGone("the service knows no such prediction any more", cost_micros=None)
        require_free_answer(answer, service=self.service, key_env=self._keys, detail=self.error_text(answer))
        return answer

    def address_of(self, picture: str) -> str:
        """Where a picture lies; one without a host lies where it was made."""
        return picture if picture.startswith("data:") else str(self._place.join(picture))

    def error_text(self, answer: httpx.Response) -> str:
        """What an answer says went wrong, fit for a message."""
        try:
            document = answer.json()
        except ValueError:
            document = None
        said = answers.read_error_text(document, self._options)
        return self.calls.error_text(said or answer.reason_phrase or f"status {answer.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self.calls.close()


def build_key(batch: str, job: Job, attempt: int) -> str:
    """The key of an attempt: the same for each send of it, and no other attempt of any batch has it."""
    return "-".join(part for part in ("imagen", batch[:16], job.job_id[:32], str(attempt)) if part)


def parse_id(answer: httpx.Response, options: HttpOptions) -> str:
    """The id in the answer to a create that is to be polled.

    Raises:
        Ambiguous: It cannot be read; the prediction may have been created.
    """
    try:
        found = read(answer.json(), options.id)
    except ValueError:
        found = None
    if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
        raise Ambiguous("the answer to a create could not be read: there is no id in it", cost_micros=None)
    return str(found)


def _build_request(call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {
        "url": fill_address(call.url, values),
        "headers": {name: fill_text(text, values) for name, text in call.headers.items()},
    }
    return request if call.body is None else {**request, "json": fill(call.body, values)}


def _parse_document(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as exc:
        raise httpx.DecodingError("the answer is not JSON", request=answer.request) from exc
