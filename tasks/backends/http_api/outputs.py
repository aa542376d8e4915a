"""The end of a prediction: waited for, where it is polled, and its image read from the last answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import httpx

from tasks.backends.client.downloads import Delivery, keep_answer
from tasks.backends.client.polling import Polling
from tasks.backends.client.wrapped import unwrap_images
from tasks.backends.http_api import answers
from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.answers import ImageOutput
from tasks.backends.http_api.api import DescribedApi
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.refused import list_images
from tasks.backends.http_api.reported import read_cost_micros
from tasks.backends.http_api.sections import Call, States
from tasks.core.clock import Clock
from tasks.core.errors import BatchStopped, JobError, OutputGone, Transient, UnreadableAnswer
from tasks.core.records import Prediction
from tasks.core.retry import retry_look
from tasks.core.safe_text import error_text

MOST_STATE_CHARS = 60
"""Of a state, in a message."""
UNKNOWN_S = 20.0
"""Seconds during which a new prediction may be answered with 404: lists of large services lag by some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Reads the images of one instance's predictions."""

    options: HttpOptions
    api: DescribedApi
    clock: Clock
    polling: Polling
    lost_micros: int | None
    """Cost of an image whose answer was lost, in millionths of a dollar; None where no price is configured."""
    delivery: Delivery

    def read(self, answer: Answer | None) -> ImageOutput:
        """The image of an answer that came with the create.

        Raises:
            OutputGone: There is no answer: another process got it, and it was kept nowhere.
            JobError: The answer holds no image.
        """
        if answer is None:
            raise OutputGone(
                "it was made and paid for, but its run ended before it was on disk, and its service cannot be asked",
                cost_micros=self.lost_micros,
            )
        words = self.read_words(answer)
        if not answers.has_succeeded(answer, self.options):
            raise answers.build_failure(answer, self.options, words)
        return answers.read_output(answer, self.options, words)

    def read_kept(self, answer: Answer) -> ImageOutput:
        """The image of an answer that was kept: of the last call, which has a state only where it is a poll.

        Raises:
            JobError: The answer holds no image.
        """
        if self.options.result is None:
            return self.read(answer)
        return answers.read_output(answer, self.options, self.read_words(answer))

    async def wait(self, prediction: Prediction) -> ImageOutput:
        """The image of a prediction that is polled, once it has ended.

        Raises:
            Transient: It took too long, and was cancelled. It may have been billed.
            UnreadableAnswer: It has an image, and a state that nobody configured.
            JobError: It ended without an image.
        """
        options, is_fresh = self.options, prediction.created_at is not None
        unknown_until_s = self.clock.monotonic_s() + (UNKNOWN_S if is_fresh else 0.0)

        seen: Answer | None = None

        async def look() -> Answer | None:
            nonlocal seen
            if options.poll is None:
                return None
            try:
                seen = answer = await self.api.poll(options.poll, prediction.prediction_id)
            except OutputGone:
                # Its create was answered a moment ago, and not every server of the service knows of it yet.
                if self.clock.monotonic_s() < unknown_until_s:
                    return None
                raise
            return answer if answers.has_ended(answer, options) else None

        try:
            last = await self.polling.until(look, timeout_s=options.timeout_s, is_fresh=is_fresh)
        except TimeoutError:
            await self.api.cancel(prediction.prediction_id)
            raise _explain_late(seen, options, timeout_s=options.timeout_s) from None
        if options.result is None or not answers.has_succeeded(last, options):
            return self.read(last)
        return await self._ask_result(options.result, prediction, last)

    async def _ask_result(self, call: Call, prediction: Prediction, last: Answer) -> ImageOutput:
        try:
            answer: Answer = await retry_look(httpx.HTTPError, self.clock.sleep)(
                self.api.ask_result, call, prediction.prediction_id, last
            )
        except httpx.HTTPError as exc:
            raise JobError(
                f"its result cannot be had ({self.api.calls.describe_error(exc)})", cost_micros=None
            ) from exc
        output = answers.read_output(answer, self.options, self.read_words(answer))
        if output.reported_micros is None:
            # The answer that ended the polling may have named the cost that the result leaves out.
            return replace(output, reported_micros=read_cost_micros(last, self.options))
        return output

    async def fetch(self, prediction: Prediction) -> bytes:
        """The bytes that came, or those at the address that came, or at the one that another look gives.

        Raises:
            JobError: As `Delivery.fetch`.
        """
        output: ImageOutput = prediction.output
        if output.image is not None:
            return output.image
        try:
            place = self.api.addresses.resolve_image(output.address or "")
            try:
                return _take_out(await self.delivery.fetch(place))
            except OutputGone:
                # A signed address runs out, and the service signs a new one for each look; this image is paid for.
                fresh = await self._find_fresh_address(prediction.prediction_id)
                if fresh in {None, place}:
                    raise
                return _take_out(await self.delivery.fetch(fresh or place))
        except JobError as error:
            error.cost_micros = prediction.cost_micros
            raise keep_answer(error, output.raw) from error

    async def _find_fresh_address(self, prediction_id: str) -> str | None:
        if self.options.poll is None:
            return None
        try:
            output = await self.wait(Prediction(prediction_id=prediction_id))
        except (JobError, BatchStopped):
            return None  # the service knows nothing better
        return None if output.address is None else self.api.addresses.resolve_image(output.address)

    def read_words(self, answer: Answer) -> str:
        """Read the service's words on what went wrong, fit for a message."""
        return self.api.calls.error_text(answers.read_error_text(answer, self.options))


def _take_out(body: bytes) -> bytes:
    """The first image of a zip file; anything else, and a damaged one, as it came: what it is is told where it is checked."""
    try:
        return unwrap_images(body, "")[0]
    except ValueError:
        return body


def _explain_late(answer: Answer | None, options: HttpOptions, *, timeout_s: float) -> JobError:
    """Why a prediction is waited for no longer.

    Args:
        answer: The last one, if any came.
        options: The instance's settings.
        timeout_s: The wait.
    """
    words = f"no image within {timeout_s:.0f} s"
    if answer is None or not isinstance(options.state, States):
        return Transient(words, kind="timeout", cost_micros=None)
    state = error_text(answer.read(options.state.at), most_chars=MOST_STATE_CHARS)
    words += f"; its state is still {state!r}"
    # A name that nobody configured may be that of the end: every job would be paid for, waited for and thrown away.
    if options.output.at is not None and list_images(answer, options):
        return UnreadableAnswer(f"{words}, and it holds an image; look at `state`", raw=answer.raw, cost_micros=None)
    return Transient(words, kind="timeout", cost_micros=None)
