"""The calls of a described API, and what each answer proves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from typing import Any

import httpx

from tasks.backends.client.calls import (
    SHORT_KEEPALIVE_S,
    HttpCalls,
    build_credit_stop,
    build_refusal,
    parse_json,
    require_free_answer,
)
from tasks.backends.client.payloads import MOST_ANSWER_BYTES
from tasks.backends.client.transport import MOST_BYTES
from tasks.backends.http_api import answers
from tasks.backends.http_api.answers import Answer
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.places import read_all, read_first
from tasks.backends.http_api.requests import build_request, read_places
from tasks.backends.http_api.sections import Call
from tasks.backends.http_api.template import TOKEN, fill_address
from tasks.backends.http_api.tokens import TokenSource, run_token_command
from tasks.backends.http_api.values import build_image_values, build_values, find_image_problems
from tasks.core.addresses import is_loopback
from tasks.core.errors import Ambiguous, BatchStopped, JobError, OutputGone, Refused, Rejected
from tasks.core.records import Job
from tasks.core.values import parse_identifier


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
        self._keys = ", ".join(secrets) or ("token_command" if options.has_token else None)
        self._place = httpx.URL(fill_address(options.create.url or "", self._env))
        self.service = self._place.host
        self.calls = HttpCalls(
            secrets=list(secrets.values()),
            connections=connections,
            answer_timeout_s=options.timeout_s,
            keepalive_s=SHORT_KEEPALIVE_S,
        )
        lasts_s = options.token_lasts_s if options.before is None else options.before.lasts_s
        self._tokens = TokenSource(self._ask_token, lasts_s=lasts_s, now_s=time.monotonic)

    async def create(self, job: Job, *, attempt: int) -> httpx.Response:
        """Make one prediction. It costs money; call it once.

        Raises:
            Throttled, NotCreated, Rejected, Refused: Nothing was created.
            Ambiguous: It may have been created.
            BatchStopped: Key or credit: nobody's prediction can be created now.
        """
        for problem in find_image_problems(job, self._options):
            raise Rejected(problem, kind="input_image")
        images = await asyncio.to_thread(build_image_values, job, self._options)
        values = {**self._build_values(job), **images, "attempt": attempt}
        token = await self._get_token()
        answer = await self._pay(job, attempt, {**values, TOKEN: token})
        if answer.status_code == httpx.codes.UNAUTHORIZED and token is not None:
            # The service has refused the token, so nothing was created: once more with a new one.
            self._tokens.forget(token)
            answer = await self._pay(job, attempt, {**values, TOKEN: await self._get_token()})
        if answer.is_success:
            return answer
        raise self._build_refusal(answer)

    async def _pay(self, job: Job, attempt: int, values: Mapping[str, Any]) -> httpx.Response:
        options = self._options
        request = build_request(options.create, {**values, **self._env}, opts_at=options.opts_at, opts=job.backend_opts)
        if options.idempotency_header is not None:
            request["headers"][options.idempotency_header] = build_key(self._batch, job, attempt)
        return await self.calls.pay(
            options.create.method, timeout_s=options.timeout_s, most_bytes=MOST_ANSWER_BYTES, **request
        )

    def _build_refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        parsed, words = self.parse(answer), self.error_text(answer)
        if answer.is_client_error and answers.is_quota(words, self._options):
            return build_credit_stop(self.service, words)
        if answer.is_client_error and (
            answers.is_refusal(words, self._options) or answers.is_refused(parsed, self._options)
        ):
            return Refused(words)
        return build_refusal(answer, words, service=self.service, key_env=self._keys)

    async def poll(self, call: Call, prediction_id: str) -> Answer:
        """The answer to a call about a prediction; free.

        Raises:
            OutputGone: There is no such prediction any more.
            BatchStopped: The key is no longer accepted.
            httpx.HTTPError: No answer, or one that says nothing; asking again is free.
        """
        # Where an answer has given the address, the id is that address.
        url = None if call.at is None else self.check_address(prediction_id)
        answer = await self.ask(call, {"id": prediction_id, "model": self._model}, url=url)
        return self.parse(answer, prediction_id, needs_json=True)

    async def ask_result(self, call: Call, prediction_id: str, last: Answer) -> Answer:
        """The answer to the call that gives the image of a prediction that ended; free.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `poll`.
            JobError: The last answer gives an address that is not the service's.
        """
        url = None if call.at is None else self.check_address(str(last.read(call.at)))
        values = {"id": prediction_id, "model": self._model, **read_places(call, last.document)}
        return self.parse(await self.ask(call, values, url=url), prediction_id)

    async def listed(self, job: Job, since: datetime) -> list[str]:
        """Ids of the predictions that the look-up shows for a job.

        Raises:
            httpx.HTTPError, BatchStopped: As `poll`.
        """
        find = self._options.find
        if find is None:
            return []
        values = {**self._build_values(job), "since": since.astimezone(UTC).isoformat()}
        if find.items is None:
            try:
                found = self.parse(await self.ask(find, values), needs_json=True)
            except OutputGone:
                return []
            return self._parse_ids([found.document], find.id)
        document = self.parse(await self.ask(find, values), needs_json=True).document
        items = list(read_all(document, find.items))
        items = items[0] if len(items) == 1 and isinstance(items[0], list) else items
        if not items and read_first(document, find.items) is None:
            raise httpx.DecodingError("the look-up's answer holds no list")
        return self._parse_ids(items, find.id)

    def _parse_ids(self, items: Sequence[Any], place: str | list[str]) -> list[str]:
        found = (parse_identifier(read_first(item, place)) for item in items)
        return [prediction_id for prediction_id in found if prediction_id is not None]

    def _build_values(self, job: Job) -> dict[str, Any]:
        return {**build_values(job, self._options), "batch": self._batch}

    async def ask_time(self) -> None:
        """Ask the service for nothing: the answer tells its time.

        Raises:
            httpx.HTTPError: No answer.
        """
        await self.calls.http.head(str(self._place.join("/")))

    async def ask(self, call: Call, values: Mapping[str, Any], *, url: str | None = None) -> httpx.Response:
        """The answer to a call that may be repeated at will.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `poll`.
        """
        token = await self._get_token()
        request = build_request(call, {**values, **self._env, TOKEN: token}, url=url)
        answer = await self.calls.http.request(call.method, extensions={MOST_BYTES: MOST_ANSWER_BYTES}, **request)
        if answer.status_code == httpx.codes.UNAUTHORIZED and token is not None:
            self._tokens.forget(token)
            request = build_request(call, {**values, **self._env, TOKEN: await self._get_token()}, url=url)
            answer = await self.calls.http.request(call.method, extensions={MOST_BYTES: MOST_ANSWER_BYTES}, **request)
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            raise OutputGone("the service knows no such prediction any more", cost_micros=None)
        require_free_answer(answer, service=self.service, key_env=self._keys, detail=self.error_text(answer))
        return answer

    async def _get_token(self) -> str | None:
        if not self._options.has_token:
            return None
        token = await self._tokens.get()
        self.calls.hide(token)
        return token

    async def _ask_token(self) -> str:
        before = self._options.before
        if before is None:
            return await run_token_command(self._options.token_command or [])
        try:
            answer = await self.calls.http.request(
                before.method, **build_request(before, {"model": self._model, **self._env})
            )
            require_free_answer(answer, service=self.service, key_env=self._keys, detail=self.error_text(answer))
            return str(read_first(parse_json(answer), before.value) or "")
        except (httpx.HTTPError, ValueError) as exc:
            reason = self.calls.describe_error(exc)
            raise BatchStopped("token", f"the call `before` gives no token ({reason}); nothing was sent") from exc

    def check_address(self, address: str) -> str:
        """An address that an answer has given, where it is the service's own: keys go nowhere else.

        Raises:
            JobError: It is another host's, or would be asked in clear text.
        """
        try:
            url = self._place.join(address)
        except httpx.InvalidURL:
            url = httpx.URL()
        hosts = (self.service, *self._options.api_hosts)
        is_safe = url.scheme == "https" or is_loopback(url.host) or url.scheme == self._place.scheme == "http"
        if not is_safe or not any(fnmatch(url.host, pattern) for pattern in hosts):
            shown = self.calls.error_text(url.host or address[:60])
            raise JobError(
                f"the answer leads to {shown!r}, which is not among api_hosts", kind="foreign_host", cost_micros=None
            )
        return str(url)

    def address_of(self, image: str) -> str:
        """Where an image lies; an address without a host is relative to `output.base`, else to where it was made."""
        if image[:5].lower() == "data:":
            return image
        base = self._place if self._options.output.base is None else httpx.URL(self._options.output.base)
        return str(base.join(image))

    def parse(self, answer: httpx.Response, prediction_id: str = "", *, needs_json: bool = False) -> Answer:
        """The answer, as far as it is looked at.

        Raises:
            httpx.DecodingError: It has to be JSON and is none.
        """
        try:
            document = parse_json(answer)
        except ValueError as exc:
            if needs_json:
                raise httpx.DecodingError("the answer is not JSON", request=answer.request) from exc
            document = None
        return Answer(document=document, headers=answer.headers, raw=answer.content, values={"id": prediction_id})

    def error_text(self, answer: httpx.Response) -> str:
        """Find the error text of an answer, fit for a message."""
        said = answers.read_error_text(self.parse(answer), self._options, is_error=not answer.is_success)
        return self.calls.error_text(said or answer.reason_phrase or f"status {answer.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self.calls.close()


def build_key(batch: str, job: Job, attempt: int) -> str:
    """The key of an attempt: the same for each send of it, and no other attempt of any batch has it."""
    return "-".join(part for part in ("imagen", batch[:16], job.job_id[:32], str(attempt)) if part)


def parse_id(answer: Answer, options: HttpOptions) -> str:
    """The id in the answer to a create that is to be polled.

    Raises:
        Ambiguous: It cannot be read; the prediction may have been created.
    """
    found = parse_identifier(answer.read(options.id_place))
    if found is None:
        raise Ambiguous("the answer to a create could not be read: there is no id in it", cost_micros=None)
    return found
