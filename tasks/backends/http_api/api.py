"""The calls of a described API, and what each answer proves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from tasks.backends.client.answers import read_pause
from tasks.backends.client.calls import build_credit_stop, build_refusal
from tasks.backends.client.payloads import MOST_ANSWER_BYTES
from tasks.backends.http_api import answers
from tasks.backends.http_api.answer import Answer, any_holds
from tasks.backends.http_api.ids import build_key
from tasks.backends.http_api.request.build import build_request
from tasks.backends.http_api.request.template import TOKEN
from tasks.backends.http_api.request.values import build_image_values, find_image_problems
from tasks.backends.http_api.sections import Call
from tasks.backends.http_api.service import DescribedService
from tasks.core.errors import BatchStopped, JobError, Refused, Rejected, Throttled
from tasks.core.records import Job


class DescribedApi(DescribedService):
    """One API with its secrets; usable inside one event loop."""

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
        if self._is_over(token, answer):
            # The service has refused the token, so nothing was created: once more with a new one.
            answer = await self._pay(job, attempt, {**values, TOKEN: await self._get_token()})
        # Some services answer a create by leading to its task: 303 says that it was done (RFC 9110, section 15.4.4).
        is_task = answer.status_code == httpx.codes.SEE_OTHER and self._options.poll is not None
        if answer.is_success or is_task:
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

    def explain_refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        """Build the error that an answer other than 2xx to a paid call proves."""
        parsed, words = self.parse(answer), self.error_text(answer)
        # A quota that is used up for the day stops the batch; without this each job would be refused by itself.
        if answer.is_client_error and answers.is_quota(parsed, self._options, words):
            return build_credit_stop(self.service, words)
        if answer.is_client_error and any_holds(self._options.throttled_when, parsed):
            return Throttled(words, retry_after_s=read_pause(answer))
        if answer.is_client_error and answers.refuses(parsed, self._options, words):
            error: JobError | BatchStopped = Refused(words)
        else:
            error = build_refusal(answer, words, service=self.service, key_env=self.keys)
        # A refusal by a content filter may be billed though nothing came (Azure's FAQ, read 2026-09).
        if isinstance(error, Refused) and self._options.refusals_are_billed:
            error.cost_micros = None
        return error

    async def ask_price(self, call: Call, job: Job) -> Answer:
        """The answer to a free call about a job's price; asked once.

        Raises:
            JobError, BatchStopped, httpx.HTTPError: As `check`.
        """
        values = {**self.build_values(job), TOKEN: await self._get_token(), **self._env}
        # The row's own inputs may decide the price, such as a quality.
        opts = {} if call.content is None else job.backend_opts
        request = build_request(call, values, opts_at=self._options.opts_at, opts=opts)
        answer = await self.calls.http.request(call.method, **request)
        if answer.is_client_error:
            raise self.explain_refusal(answer)
        answer.raise_for_status()
        return self.parse(answer, needs_json=True)

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
