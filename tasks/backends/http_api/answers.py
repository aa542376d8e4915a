"""Answers of a configured API: state, image, cost and error of a prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from tasks.backends.client.payloads import GROUP, decode_base64, decode_image, find_image_place, is_text
from tasks.backends.client.refusals import find_codes, find_words, is_moderation
from tasks.backends.client.wrapped import unwrap_images
from tasks.backends.http_api.answer import Answer, any_holds, contains_any
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.refused import count_billed, is_refused, list_images
from tasks.backends.http_api.reported import read_cost_micros, read_tokens
from tasks.backends.http_api.sections import States
from tasks.backends.prices import MOST_IMAGES
from tasks.core.errors import JobError, Refused, Transient, UnreadableAnswer
from tasks.store.chunks import detect_format

HEAD_CHARS = 64
"""Of base64, enough to see what it is; no image is shorter."""
RUNNING = frozenset({202, 204})
"""Statuses of a poll that mean that there is nothing yet, where no state says so (Stability's results, 2026)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutput:
    """The image of a prediction that ended well."""

    image: bytes | None = None
    address: str | None = None
    raw: bytes = field(default=b"", compare=False, repr=False)
    """The answer, where the image is at an address: of use if that may not be asked."""
    images: int = 1
    """The number of images that the answer holds."""
    further: tuple[ImageOutput, ...] = ()
    """Those beside the first one, as far as they can be read."""
    reported_micros: int | None = None
    """Cost as the answers say it."""
    input_tokens: float | None = None
    output_tokens: float | None = None
    output_text_tokens: float | None = 0.0
    """Of thoughts and text beside the image."""


def has_ended(answer: Answer, options: HttpOptions) -> bool:
    """True if the state is one of the configured ends; any other one is taken for running."""
    # A state that nobody configured is taken for running: to give up on it would lose an image that is paid for.
    state = options.state
    # Some services refuse without a state of its own: a flag is set, and the state stays at "completed" (Ideogram).
    if is_refused(answer, options) or any_holds(options.failed_when, answer):
        return True
    if not isinstance(state, States):
        return state is None or answer.status not in RUNNING
    return _matches_any(answer.read(state.at), [*state.succeeded, *state.failed])


def is_unknown(answer: Answer, options: HttpOptions) -> bool:
    """True if the state says that the service does not know the prediction."""
    return isinstance(options.state, States) and _matches_any(answer.read(options.state.at), options.state.unknown)


def has_succeeded(answer: Answer, options: HttpOptions) -> bool:
    """True if it ended well."""
    state = options.state
    if is_refused(answer, options) or any_holds(options.failed_when, answer):
        return False
    return not isinstance(state, States) or _matches_any(answer.read(state.at), state.succeeded)


def read_error_text(answer: Answer, options: HttpOptions, *, is_error: bool = False) -> str:
    """The service's own words on what went wrong; empty where there are none.

    Args:
        answer: The answer.
        options: The instance's settings.
        is_error: It is a 4xx or 5xx: their words rarely stand where a prediction's do, so the usual places count too.
    """
    words = answer.read(options.error)
    # A 4xx often has a form of its own, such as `detail`, whatever the instance's `error` names.
    if words is None and (is_error or options.error is None):
        return find_words(answer.document)
    return find_words(words) or ("" if words is None else str(words))


def build_failure(answer: Answer, options: HttpOptions, words: str) -> JobError:
    """Why a prediction ended without an image.

    Args:
        answer: The answer that says so.
        options: The instance's settings.
        words: The service's own, fit for a message.
    """
    # An answer about a failure may name its cost; where it does not, the cost stays unknown and the budget keeps its
    # share.
    reported = read_cost_micros(answer, options)
    cost_micros = 0 if options.failures_are_free else reported
    message = words or "the prediction failed"
    # The configured words come first; those that are known of many services only add to them.
    if refuses(answer, options, words) or is_moderation(words, find_codes(answer.document)):
        return Refused(message, cost_micros=0 if options.refusals_are_billed is False else cost_micros)
    # Only a failure that is known to pass is tried again by itself: every other one would be paid for again and again.
    if contains_any(options.passing, words):
        return Transient(message, cost_micros=cost_micros)
    return JobError(message, cost_micros=cost_micros)


def is_refusal(words: str, options: HttpOptions) -> bool:
    """True if the words mean that the prompt, or its image, was refused."""
    return contains_any(options.moderation, words)


def refuses(answer: Answer, options: HttpOptions, words: str) -> bool:
    """True if its words, or a value of it, mean that the prompt was refused."""
    return is_refusal(words, options) or is_refused(answer, options)


def is_quota(answer: Answer, options: HttpOptions, words: str) -> bool:
    """True if a 4xx means that nothing more is made today, or before somebody has paid."""
    return contains_any(options.quota, words) or any_holds(options.quota_when, answer)


def read_output(answer: Answer, options: HttpOptions, words: str) -> ImageOutput:
    """The image of an answer.

    Args:
        answer: The answer.
        options: The instance's settings.
        words: The reason that it gives, fit for a message.

    Raises:
        JobError: There is none, or none that can be read. What it cost stands in the error as far as it is known.
    """
    if options.output.kind == "bytes":
        return read_bytes(answer, options, words)
    cost_micros = read_cost_micros(answer, options)
    found = list_images(answer, options)[:MOST_IMAGES]
    if not found:
        if words:
            raise _explain_missing(answer, options, words, cost_micros)
        # What is wrong may be the configuration's place, and the answer has been paid for.
        place = find_image_place(answer.document)
        seen = "" if place is None else f"; something like one stands at {place}"
        raise UnreadableAnswer(
            f"the answer holds no image at {options.output.at!r}{seen}", raw=answer.raw, cost_micros=cost_micros
        )
    # Every image in the answer is billed.
    usage = {
        "reported_micros": cost_micros,
        "images": min(count_billed(answer, options), MOST_IMAGES),
        **read_tokens(answer, options),
    }
    try:
        first = _build_output(found[0], options)
    except ValueError as exc:
        raise UnreadableAnswer(f"the image cannot be decoded: {exc}", raw=answer.raw, cost_micros=cost_micros) from exc
    raw = b"" if first.address is None else answer.raw
    return replace(first, raw=raw, further=tuple(_build_further(found[1:], options)), **usage)


def _explain_missing(answer: Answer, options: HttpOptions, words: str, cost_micros: int | None) -> JobError:
    """Why a 200 with words in it holds no image."""
    failure = build_failure(answer, options, words)
    is_understood = options.poll is not None or options.error is not None or options.failed_when
    if is_understood or type(failure) is not JobError or failure.cost_micros == 0:
        return failure
    # Nobody has said where this service explains its failures, and every such answer may be paid for:
    # the first one stops the batch, as any answer that cannot be read.
    return UnreadableAnswer(f"an error came in place of an image ({words})", raw=answer.raw, cost_micros=cost_micros)


def _build_further(found: list[str], options: HttpOptions) -> Iterator[ImageOutput]:
    for text in found:
        with suppress(ValueError):  # a damaged one is no reason to lose the first
            yield _build_output(text, options)


def _build_output(text: str, options: HttpOptions) -> ImageOutput:
    """The image at an address, or of base64; raises `ValueError` for what is no base64."""
    if options.output.kind == "url" and not _is_base64_image(text):
        return ImageOutput(address=text)
    return ImageOutput(image=decode_image(text))


def _is_base64_image(text: str) -> bool:
    """True if a text that should be an address is an image: it was paid for, and its beginning leaves no doubt."""
    digits = "".join(text[:HEAD_CHARS].split())
    if len(text) < HEAD_CHARS:
        return False
    try:
        head = decode_base64(digits[: len(digits) // GROUP * GROUP])
    except ValueError:
        return False
    # A drawing is no image that can be kept, but what was paid for stays readable beside the ledger.
    return detect_format(head) is not None or head.lstrip().startswith((b"<svg", b"<?xml"))


def read_bytes(answer: Answer, options: HttpOptions, words: str) -> ImageOutput:
    """The image that is the answer itself.

    Raises:
        JobError: It is a text in place of an image.
    """
    media_type = answer.headers.get("content-type", "")
    # JSON in place of bytes is how such APIs report an error with status 200.
    if not is_text(answer.raw) or media_type.lower().startswith("multipart/"):
        cost_micros = read_cost_micros(answer, options)
        try:
            # Base64 in place of the bytes; no binary format of an image is all ASCII.
            body = decode_image(answer.raw.decode()) if _is_plain(answer.raw) else answer.raw
            first, *others = unwrap_images(body, media_type)
        except ValueError as exc:
            raise UnreadableAnswer(
                f"the image cannot be unpacked: {exc}", raw=answer.raw, media_type=media_type, cost_micros=cost_micros
            ) from exc
        further = tuple(ImageOutput(image=data) for data in others[: MOST_IMAGES - 1])
        return ImageOutput(image=first, further=further, images=1 + len(further), reported_micros=cost_micros)
    if words and (is_refusal(words, options) or is_moderation(words, find_codes(answer.document))):
        raise build_failure(answer, options, words)
    raise UnreadableAnswer(
        f"a text came in place of an image ({words or 'no words'})",
        raw=answer.raw,
        media_type=media_type,
        cost_micros=read_cost_micros(answer, options),
    )


def _is_plain(body: bytes) -> bool:
    return body.isascii() and "".join(body.decode().split()).isprintable()


def _matches_any(value: Any, states: list[str]) -> bool:
    """True if a state is among those of the configuration, in any case: YAML's true and false are JSON's."""
    # A service writes COMPLETE on one page and complete on the next; no two states differ by that alone.
    return str(value).lower() in {state.lower() for state in states}
