"""Creates that were not answered: looked up, or repeated under their key, as the configuration says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import httpx

from tasks.backends.base import find_taken
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.http_api.api import DescribedApi
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.places import read_all, read_first
from tasks.core.clock import Clock, to_instant
from tasks.core.errors import Ambiguous, BatchStopped, JobError, NotCreated, OutputGone, Refused, Rejected, Throttled
from tasks.core.records import Job, Prediction
from tasks.core.retry import retry_look
from tasks.core.values import parse_identifier

LOOKUPS = 4
"""The number of look-ups for a lost prediction before it counts as never created, or a create is repeated under its key."""
# Seconds; the service has to notice that the connection is gone before it takes the same key again.
REPEAT_PAUSE_S = 2.0


class Submit(Protocol):
    """Sends a create."""

    async def __call__(self, job: Job, *, attempt: int) -> Prediction:
        """See `tasks.backends.base.Backend.submit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostCreates:
    """Finds what became of the creates of one instance."""

    options: HttpOptions
    api: DescribedApi
    clock: Clock
    limiter: RateLimiter
    unanswered: dict[str, int] = field(default_factory=dict)
    """Attempts of this process whose create was not answered yet, by job."""

    @contextmanager
    def sending(self, job: Job, attempt: int) -> Iterator[None]:
        """A create is under way; it counts as unanswered until its answer proves something."""
        self.unanswered[job.job_id] = attempt
        try:
            yield
        except Ambiguous:
            raise
        except (JobError, BatchStopped):
            self.unanswered.pop(job.job_id, None)
            raise
        self.unanswered.pop(job.job_id, None)

    async def find(self, job: Job, since: datetime, known: Collection[str], submit: Submit) -> Prediction | None:
        """The prediction of a lost create as the configuration finds it: in a list, or by the same create once more.

        Raises:
            Ambiguous: It cannot be told.
        """
        if self.options.find is not None:
            return await self.look_up(job, since, known)
        attempt = self.find_repeatable(job, since, known)
        if attempt is None:
            raise Ambiguous("the configuration names no look-up (find), so nobody knows", cost_micros=None)
        return await self.repeat(job, attempt, submit)

    async def look_up(self, job: Job, since: datetime, known: Collection[str]) -> Prediction | None:
        """The job's prediction in the list of the configured look-up; None where it is certain that there is none.

        Raises:
            Ambiguous: The list cannot be read, or shows several.
        """
        pause_s = self.options.find.patience_s / (LOOKUPS - 1) if self.options.find else 0.0
        for look in range(LOOKUPS):
            # No pause before the first look: most lost answers were lost on their way back, and the prediction is
            # there.
            if look:
                await self.clock.sleep(pause_s)
            await self.limiter.acquire()
            try:
                listed: list[str] = await retry_look(httpx.HTTPError, self.clock.sleep)(self._list, job, since)
            except (httpx.HTTPError, OutputGone) as exc:
                raise Ambiguous(f"the look-up gives no answer ({type(exc).__name__})", cost_micros=None) from exc
            # A prediction that another attempt has is not this one's, though the list shows it under the same job.
            taken = await find_taken(known, listed)
            found = [prediction_id for prediction_id in dict.fromkeys(listed) if prediction_id not in taken]
            # A list by job holds the other batches' predictions of the same job, so any that is free is as good.
            if len(found) > 1 and not (getattr(known, "is_complete", False) and self.options.finds_by_job()):
                raise Ambiguous(f"the look-up shows {len(found)} predictions of this job", cost_micros=None)
            if found:
                return Prediction(prediction_id=found[0])
        return None

    def find_repeatable(self, job: Job, since: datetime, known: Collection[str]) -> int | None:
        """The attempt whose create may be repeated under its key; None where the service would make another prediction."""
        if self.options.idempotency_header is None:
            return None
        # This process knows that its create was not answered; a later run has only the ledger to go by.
        if job.job_id in self.unanswered:
            return self.unanswered[job.job_id]
        number: int | None = getattr(known, "number", None)
        if number is None or self.options.idempotency_lasts_s is None:
            return None
        # Half of the time is left for clocks that differ and for the wait until the repetition is answered.
        # Older than that, the service may have forgotten the key and would make, and bill, a second prediction.
        age_s = (to_instant(self.clock.now_us()) - since).total_seconds()
        return number if 0 <= age_s < self.options.idempotency_lasts_s / 2 else None

    async def repeat(self, job: Job, attempt: int, submit: Submit) -> Prediction:
        """The same create under the same key, which the service answers with the same prediction.

        Raises:
            Ambiguous: It is not answered either, or refused.
        """
        for _ in range(LOOKUPS):
            await self.clock.sleep(REPEAT_PAUSE_S)
            try:
                return await submit(job, attempt=attempt)
            # A 429 speaks of the repetition; it says nothing about the first create.
            except Throttled as error:
                self.unanswered[job.job_id] = attempt  # the first create is as unanswered as before
                await self.clock.sleep(error.retry_after_s or REPEAT_PAUSE_S)
            except (Ambiguous, NotCreated):
                self.unanswered[job.job_id] = attempt
            except (Rejected, Refused) as error:
                # It says no to the repetition; what became of the first one, it does not say.
                raise Ambiguous(
                    f"the same create under the same key was refused ({error})", cost_micros=None
                ) from error
        raise Ambiguous("the same create under the same key was not answered either", cost_micros=None)

    async def _list(self, job: Job, since: datetime) -> list[str]:
        """Ids of the predictions that the look-up shows for a job."""
        find = self.options.find
        if find is None:
            return []
        values = {**self.api.build_values(job), "since": since.astimezone(UTC).isoformat()}
        try:
            document = self.api.parse(await self.api.ask(find, values), needs_json=True).document
        except OutputGone:
            if find.items is None:
                return []
            raise
        if find.items is None:
            return _parse_ids([document], find.id)
        items = list(read_all(document, find.items))
        items = items[0] if len(items) == 1 and isinstance(items[0], list) else items
        if not items and read_first(document, find.items) is None:
            raise httpx.DecodingError("the look-up's answer holds no list")
        return _parse_ids(items, find.id)


def _parse_ids(items: Sequence[Any], place: str | list[str]) -> list[str]:
    """Ids of the entries; one that cannot be read may be the prediction that is looked for."""
    found = [parse_identifier(read_first(item, place)) for item in items]
    if None in found:
        # Left out, it would prove that nothing was created, and the job would be paid for again.
        raise httpx.DecodingError("the look-up shows an entry without an id that can be read")
    return [prediction_id for prediction_id in found if prediction_id is not None]
