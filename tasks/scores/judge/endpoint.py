"""The API of one judge: a call is sent until it is answered, or until one more try might be paid for twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from tasks.backends.client.answers import parse_json_object
from tasks.backends.client.calls import SHORT_KEEPALIVE_S, HttpCalls, build_refusal
from tasks.backends.client.options import build_authorization, find_secret_problem, read_secret
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.core.addresses import find_cleartext_problem
from tasks.core.errors import BatchStopped, ConfigError, JobError, NotCreated, Throttled
from tasks.core.judge import JudgeSettings
from tasks.core.retry import SUBMIT_TRIES, get_attempt_pause_s
from tasks.generate.batch import Batch
from tasks.generate.decisions import REFUSAL_PATIENCE_S

PATH = "chat/completions"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The connections of a judge, and the rate at which it may be called."""

    name: str
    settings: JudgeSettings
    batch: Batch
    calls: HttpCalls
    rate: RateLimiter

    async def send(self, asked: str, body: dict[str, Any]) -> httpx.Response:
        """Send until an answer came, or one more try might be paid for twice, or is of no use.

        Raises:
            Ambiguous: It may have been paid for.
            NotCreated: It was refused again and again; nothing was paid.
            JobError: This call will never be taken; nothing was paid.
            BatchStopped: The judge takes no calls at all, or the batch stops.
        """
        sends = 0
        began_s = self.batch.clock.monotonic_s()
        while True:
            turn_s = self.batch.clock.monotonic_s()
            try:
                # Our own name of the call, by which a provider finds it in its logs.
                answer = await self.calls.pay(
                    "POST", PATH, json=body, headers={"X-Client-Request-Id": asked}, timeout_s=self.settings.timeout_s
                )
                if answer.is_success:
                    self.rate.record_success()
                    return answer
                raise self._build_refusal(answer)
            except Throttled as error:
                waited_s = turn_s - began_s
                if max(waited_s, error.retry_after_s or 0.0) > REFUSAL_PATIENCE_S:
                    raise BatchStopped(
                        "throttled", f"judge {self.name!r} accepts nothing ({error}); try again later"
                    ) from error
                self.rate.record_throttle(turn_s, retry_after_s=error.retry_after_s, per_min=error.creates_per_min)
                await self.rate.acquire()
            except NotCreated:
                sends += 1
                if sends >= SUBMIT_TRIES:
                    raise
                await self.batch.pause(get_attempt_pause_s(sends))
            self.batch.stop.check()

    def _build_refusal(self, answer: httpx.Response) -> JobError | BatchStopped:
        error = parse_json_object(answer).get("error")
        words = error.get("message") if isinstance(error, dict) else error
        detail = self.calls.error_text(words or answer.reason_phrase or f"status {answer.status_code}")
        return build_refusal(
            answer, detail, service=str(urlsplit(self.settings.base_url).hostname), key_env=self.settings.key_env
        )


def read_key(name: str, settings: JudgeSettings) -> str:
    """The key of the judge `name`; empty where it needs none.

    Raises:
        ConfigError: It is not set, or would travel unprotected.
    """
    if settings.key_env is None:
        return ""
    problem = find_secret_problem(settings.key_env) or find_cleartext_problem(settings.base_url, settings.key_env)
    if problem is not None:
        raise ConfigError(f"scores.{name}: {problem}")
    return read_secret(settings.key_env)


@asynccontextmanager
async def open_endpoint(name: str, settings: JudgeSettings, batch: Batch) -> AsyncIterator[Endpoint]:
    """The API of the judge `name` for the duration of the block.

    Raises:
        ConfigError: Its key is not set, or would travel unprotected.
    """
    key = read_key(name, settings)
    calls = HttpCalls(
        base=settings.base_url.rstrip("/") + "/",
        headers=build_authorization(key),
        secrets=[key],
        connections=settings.concurrency,
        answer_timeout_s=settings.timeout_s,
        keepalive_s=SHORT_KEEPALIVE_S,
    )
    clock, stop = batch.clock, batch.stop
    # Workers share the rate, as they share the calls in flight.
    per_min = None if settings.calls_per_min is None else settings.calls_per_min * batch.share
    rate = RateLimiter(per_min, now=clock.monotonic_s, sleep=stop.pausing(clock.sleep))
    try:
        yield Endpoint(name, settings, batch, calls, rate)
    finally:
        await calls.close()
