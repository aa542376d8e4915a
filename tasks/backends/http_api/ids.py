"""Names of predictions: our key of an attempt, and the service's id."""

from __future__ import annotations

from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.options import HttpOptions
from tasks.core.errors import Ambiguous
from tasks.core.records import Job
from tasks.core.values import parse_identifier


def build_key(batch: str, job: Job, attempt: int) -> str:
    """The key of an attempt: the same for each send of it, and no other attempt of any batch has it."""
    # Half of the digits: 64 bits and more keep ids apart, and some services limit the length of a key.
    return "-".join(part for part in ("imagen", batch[:16], job.job_id[:32], str(attempt)) if part)


def parse_id(answer: Answer, options: HttpOptions, words: str) -> str:
    """The id in the answer to a create that is to be polled; `words` are the service's own, fit for a message.

    Raises:
        Ambiguous: It cannot be read; the prediction may have been created.
    """
    # Without an id nothing can be polled, though it may have been created and will be billed.
    found = parse_identifier(answer.read(options.id_place))
    if found is None:
        raise Ambiguous(
            "the answer to a create could not be read: there is no id in it" + (f" ({words})" if words else ""),
            cost_micros=None,
        )
    return found
