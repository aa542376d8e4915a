"""One described service: its addresses, keys and tokens, and the calls that cost nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

from tasks.backends.client.calls import SHORT_KEEPALIVE_S, HttpCalls, require_free_answer
from tasks.backends.client.payloads import MOST_ANSWER_BYTES
from tasks.backends.client.refusals import is_expired
from tasks.backends.client.transport import MOST_BYTES
from tasks.backends.http_api import answers
from tasks.backends.http_api.addresses import ServiceAddresses
from tasks.backends.http_api.answer import Answer, any_holds, parse_document
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.request.build import build_request, read_places
from tasks.backends.http_api.request.signing import build_signer
from tasks.backends.http_api.request.template import TOKEN, fill_address, fill_text
from tasks.backends.http_api.request.tokens import TokenSource, run_token_command
from tasks.backends.http_api.request.values import build_values
from tasks.backends.http_api.sections import Call
from tasks.core.errors import BatchStopped, OutputGone
from tasks.core.records import Job

MOST_REDIRECTS = 3
"""Of one free call: to a result, or to its storage."""


class DescribedService:
    """One service with its secrets; usable inside one event loop."""

    def __init__(
        self, options: HttpOptions, *, model: str, secrets: Mapping[str, str], connections: int, batch: str = ""
    ) -> None:
        """Talk as `options` says; `secrets` are the values of its environment variables, `batch` names the batch."""
        # A name of the batch goes into keys and names at the service, so that two batches of one manifest do not meet.
        self._batch = batch
        self._options = options
        self._model = model
        self._env = {f"env:{name}": value for name, value in secrets.items()}
        self.keys = ", ".join(secrets) or ("token_command" if options.has_token else None)
        sign, hidden = (None, []) if options.sign is None else build_signer(options.sign, self._may_sign)
        self.calls = HttpCalls(
            secrets=[*secrets.values(), *hidden],
            sign=sign,
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

    def _may_sign(self, url: httpx.URL) -> bool:
        return self.addresses.is_own(url)

    def fill_headers(self) -> dict[str, str]:
        """The headers of `create` that a call of another kind carries too: the key."""
        return {name: fill_text(text, self._env) for name, text in self._options.create.headers.items()}

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
        parsed = self.parse(answer, prediction_id, needs_json=self._options.state_in_json)
        if answers.is_unknown(parsed, self._options):
            raise OutputGone("the service knows no such prediction", cost_micros=None)
        return parsed

    async def ask_result(self, call: Call, prediction_id: str, last: Answer) -> Answer:
        """The answer to the call that gives the image of a prediction that ended; free.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `poll`.
            JobError: The last answer gives an address that is not the service's.
        """
        url = None if call.at is None else self.addresses.check(str(last.read(call.at)))
        values = {"id": prediction_id, "model": self._model, **read_places(call, last)}
        return self.parse(await self.ask(call, values, url=url), prediction_id)

    async def ask_list(self, call: Call, values: Mapping[str, Any], page: str) -> Answer:
        """One page of a list: the first one, or the one at an address that the page before it gives; free.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `poll`.
            JobError: The address is not the service's.
        """
        # As a page's links are read: from its own address, and only to the service, for the key goes along.
        first = httpx.URL(fill_address(call.url or "", {**values, **self._env}))
        url = self.addresses.check(page, base=first) if page else None
        return self.parse(await self.ask(call, values, url=url), needs_json=True)

    def build_values(self, job: Job) -> dict[str, Any]:
        """Every placeholder of a job, and the batch's name."""
        return {**build_values(job, self._options), "batch": self._batch}

    def require_free(self, answer: httpx.Response) -> None:
        """Pass where a call that may be repeated at will was answered.

        Raises:
            BatchStopped, httpx.HTTPError: As `poll`.
        """
        detail = "" if answer.is_success else self.error_text(answer)  # a good one may be a stream that nobody has read
        require_free_answer(answer, service=self.service, key_env=self.keys, detail=detail)

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
        values = {**values, TOKEN: token}
        answer = await self._send(call, values, url)
        if self._is_over(token, answer):
            values = {**values, TOKEN: await self._get_token()}
            answer = await self._send(call, values, url)
        answer = await self._follow(call, values, answer)
        # A prediction that the service has deleted; 410 is rarer, and means the same.
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            raise OutputGone("the service knows no such prediction any more", cost_micros=None)
        self.require_free(answer)
        return answer

    async def _follow(self, call: Call, values: Mapping[str, Any], answer: httpx.Response) -> httpx.Response:
        """The answer that redirects lead to, which is how some services give a result. Keys go to the service alone."""
        for _ in range(MOST_REDIRECTS):
            if not answer.has_redirect_location:
                return answer
            url, takes_key = self.addresses.resolve_redirect(answer)
            # RFC 9110, section 15.4: only 307 and 308 repeat the request as it was.
            if not takes_key:
                call = Call(url=url)
            elif answer.status_code not in {httpx.codes.TEMPORARY_REDIRECT, httpx.codes.PERMANENT_REDIRECT}:
                call = call.model_copy(update={"method": "GET", "body": None, "form": None, "fields": None})
            answer = await self._send(call, values, url)
        return answer

    def _is_over(self, token: str | None, answer: httpx.Response) -> bool:
        """True where the service refuses the token and did nothing else: the next call asks for another one."""
        if token is None:
            return False
        before, status = self._options.before, answer.status_code
        is_over = (
            status == httpx.codes.UNAUTHORIZED
            or (before is not None and bool(before.renew_when) and any_holds(before.renew_when, self.parse(answer)))
            # Some gateways, AWS among them, answer so in place of 401.
            or (status in {httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN} and is_expired(self.error_text(answer)))
        )
        if is_over:
            self._tokens.forget(token)
        return is_over

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
            return str(self.parse(answer).read(before.value) or "")
        except (httpx.HTTPError, ValueError) as exc:
            reason = self.calls.describe_error(exc)
            raise BatchStopped("token", f"the call `before` gives no token ({reason}); nothing was sent") from exc

    def parse(self, answer: httpx.Response, prediction_id: str = "", *, needs_json: bool = False) -> Answer:
        """The answer, as far as it is looked at.

        Raises:
            httpx.DecodingError: It has to be JSON and is none.
        """
        try:
            document = parse_document(answer.content)
        except ValueError as exc:
            if needs_json:
                raise httpx.DecodingError("the answer is not JSON", request=answer.request) from exc
            document = None
        return Answer(
            document=document,
            headers=answer.headers,
            raw=answer.content,
            values={"id": prediction_id},
            status=answer.status_code,
        )

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
