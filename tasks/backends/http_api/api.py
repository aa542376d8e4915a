"""The calls of a described API, and what each answer proves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json
from tasks.backends.client.calls import (
    SHORT_KEEPALIVE_S,
    HttpCalls,
    build_credit_stop,
    build_refusal,
    require_free_answer,
)
from tasks.backends.client.payloads import MOST_ANSWER_BYTES
from tasks.backends.client.transport import MOST_BYTES
from tasks.backends.http_api import answers
from tasks.backends.http_api.addresses import ServiceAddresses
from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.ids import build_key
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.places import read_first
from tasks.backends.http_api.requests import build_request, read_places
from tasks.backends.http_api.sections import Call
from tasks.backends.http_api.template import TOKEN, fill_address, fill_text
from tasks.backends.http_api.tokens import TokenSource, run_token_command
from tasks.backends.http_api.values import build_image_values, build_values, find_image_problems
from tasks.core.errors import BatchStopped, JobError, OutputGone, Refused, Rejected
from tasks.core.records import Job


class DescribedApi:
    """One API with its secrets; usable inside one event loop."""

    def __init__(
        self, options: HttpOptions, *, model: str, secrets: Mapping[str, str], connections: int, batch: str = ""
    ) -> None:
        """Talk as `options` says; `secrets` are the values of its environment variables, `batch` names the batch."""
        # A name of the batch goes into keys and names at the service, so that two batches of one manifest do not meet.
        self._batch = batch
        self._options = options
        self._model = model
        self._env = {f"env:{name}": value for name, value in secrets.items()}
        self._keys = ", ".join(secrets) or ("token_command" if options.has_token else None)
        self.calls = HttpCalls(
            secrets=list(secrets.values()),
            connections=connections,
            answer_timeout_s=options.timeout_s,
            # Such APIs have no look-up as a rule, so a create must not be lost to a connection that the server is
            # closing.
            keepalive_s=SHORT_KEEPALIVE_S,
        )
        self.addresses = ServiceAddresses(
            place=httpx.URL(fill_address(options.create.url or "", self._env)),
            options=options,
            make_safe=self.calls.error_text,
        )
        self.service = self.addresses.place.host
        lasts_s = options.token_lasts_s if options.before is None else options.before.lasts_s
        self._tokens = TokenSource(self._ask_token, lasts_s=lasts_s, now_s=time.monotonic)

    async def create(self, job: Job, *, attempt: int) -> httpx.Response:
        """Make one prediction. It costs money; call it once.

        Raises:
            Throttled, NotCreated, Rejected, Refused: Nothing was created.
            Ambiguous: It may have been created.
            BatchStopped: Key or credit: nobody's prediction can be created now.
        """
        # Before the token is asked for: a token may cost a call, and this job will not be sent.
        for problem in find_image_problems(job, self._options):
            raise Rejected(problem, kind="input_image")
        # Reading and encoding a large file would hold up every other job of this event loop.
        images = await asyncio.to_thread(build_image_values, job, self._options)
        values = {**self.build_values(job), **images, "attempt": attempt}
        token = await self._get_token()
        answer = await self._pay(job, attempt, {**values, TOKEN: token})
        if answer.status_code == httpx.codes.UNAUTHORIZED and token is not None:
            # The service has refused the token, so nothing was created: once more with a new one.
            self._tokens.forget(token)
            answer = await self._pay(job, attempt, {**values, TOKEN: await self._get_token()})
        if answer.is_success:
            return answer
        raise self.explain_refusal(answer)

    async def _pay(self, job: Job, attempt: int, values: Mapping[str, Any]) -> httpx.Response:
        options = self._options
        # The secrets come last: a row's value must never replace one.
        request = build_request(options.create, {**values, **self._env}, opts_at=options.opts_at, opts=job.backend_opts)
        if options.idempotency_header is not None:
            request["headers"][options.idempotency_header] = build_key(self._batch, job, attempt)
        return await self.calls.pay(
            options.create.method, timeout_s=options.timeout_s, most_bytes=MOST_ANSWER_BYTES, **request
        )

    def build_create(self, job: Job, *, attempt: int) -> dict[str, Any]:
        """The request that makes the job's prediction, as httpx takes it, without images and without a token."""
        values = {**self.build_values(job), "attempt": attempt, **self._env}
        return build_request(self._options.create, values, opts_at=self._options.opts_at, opts=job.backend_opts)

    def fill_headers(self) -> dict[str, str]:
        """The headers of `create` that a call of another kind carries too: the key."""
        return {name: fill_text(text, self._env) for name, text in self._options.create.headers.items()}

    def explain_refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        """Build the error that an answer other than 2xx to a paid call proves."""
        parsed, words = self.parse(answer), self.error_text(answer)
        # A quota that is used up for the day stops the batch; without this each job would be refused by itself.
        if answer.is_client_error and answers.is_quota(parsed, self._options, words):
            return build_credit_stop(self.service, words)
        if answer.is_client_error and answers.refuses(parsed, self._options, words):
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
        # It was stored as the id, because a resumed run has nothing else to ask by.
        url = None if call.at is None else self.addresses.check(prediction_id)
        answer = await self.ask(call, {"id": prediction_id, "model": self._model}, url=url)
        return self.parse(answer, prediction_id, needs_json=True)

    async def ask_result(self, call: Call, prediction_id: str, last: Answer) -> Answer:
        """The answer to the call that gives the image of a prediction that ended; free.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `poll`.
            JobError: The last answer gives an address that is not the service's.
        """
        url = None if call.at is None else self.addresses.check(str(last.read(call.at)))
        values = {"id": prediction_id, "model": self._model, **read_places(call, last.document)}
        return self.parse(await self.ask(call, values, url=url), prediction_id)

    async def check(self, call: Call) -> None:
        """Pass where a free call is answered well.

        Raises:
            JobError, BatchStopped: The service says no, in its words.
            httpx.HTTPError: No answer, or one that says nothing.
        """
        answer = await self._send(call, {"model": self._model, TOKEN: await self._get_token()})
        if answer.is_client_error:
            raise self.explain_refusal(answer)
        answer.raise_for_status()

    def build_values(self, job: Job) -> dict[str, Any]:
        """Every placeholder of a job, and the batch's name."""
        return {**build_values(job, self._options), "batch": self._batch}

    def require_free(self, answer: httpx.Response) -> None:
        """Pass where a call that may be repeated at will was answered.

        Raises:
            BatchStopped, httpx.HTTPError: As `poll`.
        """
        detail = "" if answer.is_success else self.error_text(answer)  # a good one may be a stream that nobody has read
        require_free_answer(answer, service=self.service, key_env=self._keys, detail=detail)

    async def ask_time(self) -> None:
        """Ask the service for nothing: the answer tells its time.

        Raises:
            httpx.HTTPError: No answer.
        """
        await self.calls.http.head(str(self.addresses.place.join("/")))

    async def ask(self, call: Call, values: Mapping[str, Any], *, url: str | None = None) -> httpx.Response:
        """The answer to a call that may be repeated at will.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `poll`.
        """
        token = await self._get_token()
        answer = await self._send(call, {**values, TOKEN: token}, url)
        if answer.status_code == httpx.codes.UNAUTHORIZED and token is not None:
            self._tokens.forget(token)
            answer = await self._send(call, {**values, TOKEN: await self._get_token()}, url)
        # A prediction that the service has deleted; 410 is rarer, and means the same.
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            raise OutputGone("the service knows no such prediction any more", cost_micros=None)
        self.require_free(answer)
        return answer

    async def _send(self, call: Call, values: Mapping[str, Any], url: str | None = None) -> httpx.Response:
        # An answer to a poll may hold the image itself, in base64.
        request = build_request(call, {**values, **self._env}, url=url)
        return await self.calls.http.request(call.method, extensions={MOST_BYTES: MOST_ANSWER_BYTES}, **request)

    async def _get_token(self) -> str | None:
        if not self._options.has_token:
            return None
        token = await self._tokens.get()
        # From now on: an error may quote the request, and the token with it.
        self.calls.hide(token)
        return token

    async def _ask_token(self) -> str:
        before = self._options.before
        if before is None:
            return await run_token_command(self._options.token_command or [])
        try:
            answer = await self._send(before, {"model": self._model})
            self.require_free(answer)
            # An empty token is found by `check_token`, with the message that names both settings.
            return str(read_first(parse_json(answer), before.value) or "")
        except (httpx.HTTPError, ValueError) as exc:
            reason = self.calls.describe_error(exc)
            raise BatchStopped("token", f"the call `before` gives no token ({reason}); nothing was sent") from exc

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

    async def cancel(self, prediction_id: str) -> None:
        """Stop a prediction, where the configuration says how and the service can be reached."""
        if self._options.cancel is not None:
            # Nobody waits for it any more, so an error here helps nobody.
            with suppress(httpx.HTTPError, BatchStopped, OutputGone):
                await self.ask(self._options.cancel, {"id": prediction_id, "model": self._model})

    async def close(self) -> None:
        """Close the connections."""
        await self.calls.close()
