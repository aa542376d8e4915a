"""Answers of 2xx to a create that made nothing: services that say no with a 200, in their words or values."""

from __future__ import annotations

from tasks.backends.client import refusals
from tasks.backends.client.calls import build_credit_stop, build_key_stop
from tasks.backends.client.payloads import is_text
from tasks.backends.http_api import answers
from tasks.backends.http_api.answer import Answer, any_holds
from tasks.backends.http_api.api import DescribedApi
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.refused import is_refused, list_images
from tasks.core.errors import Throttled


def require_made(answer: Answer, api: DescribedApi, options: HttpOptions) -> None:
    """Pass where the answer holds an image or an id, or does not say why it holds none.

    Without this each job of a batch would be held, where a service tells of a wrong key or an empty account in a 200.

    Raises:
        BatchStopped: Key or credit: nothing was created, and nothing can be now.
        Throttled: Too many at once: nothing was created.
        JobError: It says that this prompt was refused, or failed, as configured.
    """
    if not isinstance(answer.document, dict) or _holds_something(answer, options):
        return
    words = api.calls.error_text(answers.read_error_text(answer, options, is_error=True))
    codes = refusals.find_codes(answer.document)
    if answers.is_quota(answer, options, words) or refusals.is_out_of_credit(words, codes):
        raise build_credit_stop(api.service, words)
    if refusals.is_bad_key(words, codes):
        raise build_key_stop(api.service, words, key_env=api.keys)
    if any_holds(options.throttled_when, answer):
        raise Throttled(words or "too many at once", retry_after_s=refusals.find_retry_delay(answer.document))
    if options.poll is None:
        return  # the answer is the image, and is explained where it is read
    is_no = is_refused(answer, options) or any_holds(options.failed_when, answer)
    if is_no or answers.is_refusal(words, options) or refusals.is_moderation(words, codes):
        raise answers.build_failure(answer, options, words)


def _holds_something(answer: Answer, options: HttpOptions) -> bool:
    if options.poll is not None:
        return answer.read(options.id_place) is not None
    return not is_text(answer.raw) if options.output.kind == "bytes" else bool(list_images(answer, options))
