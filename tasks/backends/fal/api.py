"""The calls of fal's queue, and what each answer proves, decided here once.

Sources: fal.ai/docs, "Queue", "Inference API", "Request error types", "Model errors", "FAQ"; all read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from tasks.backends.client.answers import parse_json_object
from tasks.backends.client.calls import (
    SHORT_KEEPALIVE_S,
    HttpCalls,
    build_credit_stop,
    build_refusal,
    require_free_answer,
)
from tasks.backends.client.refusals import is_out_of_credit
from tasks.backends.fal.options import FalOptions, get_app
from tasks.core.errors import Ambiguous, BatchStopped, JobError, OutputGone
from tasks.core.values import parse_identifier

SERVICE = "fal.ai"
COMPLETED = "COMPLETED"
_FOREIGN = re.compile(r"[^\w-]")


class FalApi:
    """The queue for one key and model; usable inside one event loop."""

    def __init__(self, options: FalOptions, *, model: str, key: str, connections: int) -> None:
        """Talk to the queue of `options`; `key` never shows up in a message."""
        self._options = options
        self._model = model
        self.calls = HttpCalls(
            base=options.queue_base,
            headers={"Authorization": f"Key {key}"},
            secrets=[key],
            connections=connections,
            keepalive_s=SHORT_KEEPALIVE_S,
        )

    async def submit(self, values: Mapping[str, Any]) -> str:
        """Put one request into the queue. It costs money; call it once.

        Returns:
            Its id.

        Raises:
            Throttled, NotCreated, Rejected: Nothing was created.
            Ambiguous: It may have been created.
            BatchStopped: Key or balance: nobody's request can be created now.
        """
        # Seconds until its start at most: what nobody waits for any more does not run hours later.
        headers = {"X-Fal-Request-Timeout": f"{self._options.timeout_s:g}"}
        answer = await self.calls.pay("POST", f"/{self._model}", json=dict(values), headers=headers)
        if not answer.is_success:
            raise self._refusal(answer)
        request_id = parse_identifier(parse_json_object(answer).get("request_id"))
        if request_id is None:
            # It is in the queue under an id that nobody knows, and the queue has no list.
            raise Ambiguous("the answer to a submit could not be read", cost_micros=None)
        return request_id

    async def status(self, request_id: str) -> dict[str, Any]:
        """The state of a request; free.

        Raises:
            OutputGone: There is no such request any more.
            BatchStopped: The key is no longer accepted.
            httpx.HTTPError: No answer, or one that says nothing; asking again is free.
        """
        answer = await self.calls.http.get(f"{self._place(request_id)}/status")
        self._require(answer)
        body = parse_json_object(answer)
        if not isinstance(body.get("status"), str):
            raise httpx.DecodingError("the answer cannot be read", request=answer.request)
        return body

    async def result(self, request_id: str) -> httpx.Response:
        """The answer of the model to a request that has ended, an error of the model included; free.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `status`.
        """
        answer = await self.calls.http.get(self._place(request_id))
        # The model's own errors come with a 4xx or 5xx of the result's address, and are no trouble of the call.
        if is_model_error(answer):
            return answer
        self._require(answer)
        return answer

    async def ask_free(self, url: str, query: Mapping[str, str]) -> httpx.Response:
        """The answer to a free question beside the queue.

        Raises:
            OutputGone, BatchStopped, httpx.HTTPError: As `status`.
        """
        answer = await self.calls.http.get(url, params=dict(query))
        self._require(answer)
        return answer

    async def cancel(self, request_id: str) -> None:
        """Ask to stop a request; one that has ended is left alone.

        Raises:
            httpx.HTTPError: No answer.
        """
        await self.calls.http.put(f"{self._place(request_id)}/cancel")

    async def close(self) -> None:
        """Close the connections."""
        await self.calls.close()

    def error_text(self, answer: httpx.Response) -> str:
        """Find the error text of an answer, fit for a message."""
        return self.calls.error_text(
            read_error_text(parse_json_object(answer)) or answer.reason_phrase or f"status {answer.status_code}"
        )

    def _place(self, request_id: str) -> str:
        # The client library builds the addresses like this too, from the id alone.
        return f"/{get_app(self._model)}/requests/{_FOREIGN.sub('', request_id)}"

    def _require(self, answer: httpx.Response) -> None:
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            raise OutputGone("fal.ai knows no such request any more (it keeps results for an hour)", cost_micros=None)
        detail = self.error_text(answer)
        # fal answers 403 for an empty balance, also when a result is fetched (quoted by users, 2026).
        if answer.status_code == httpx.codes.FORBIDDEN and is_out_of_credit(detail):
            raise build_credit_stop(SERVICE, detail)
        require_free_answer(answer, service=SERVICE, key_env=self._options.api_key_env, detail=detail)

    def _refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        return build_refusal(answer, self.error_text(answer), service=SERVICE, key_env=self._options.api_key_env)


def is_model_error(answer: httpx.Response) -> bool:
    """True if an error is the model's own, or the queue's word on the request, and no trouble on the way to it."""
    # These four are about the key or the request, whatever the body says.
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND, httpx.codes.GONE}:
        return False
    return answer.is_success or "detail" in parse_json_object(answer) or "x-fal-error-type" in answer.headers


def read_error_text(body: Mapping[str, Any]) -> str:
    """The words of an error: a text of the queue's, or the list of a model's."""
    detail = body.get("detail") or body.get("error") or ""
    if isinstance(detail, list):
        return "; ".join(str(item.get("msg", item)) if isinstance(item, dict) else str(item) for item in detail)
    return str(detail)
