"""Creates that were not answered: looked up, or repeated under their key, as the configuration says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import httpx

from tasks.backends.base import find_taken
from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.api import DescribedApi
from tasks.backends.http_api.listed import Listed, list_predictions
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.request.template import find_names
from tasks.backends.http_api.sections import Lookup
from tasks.core.clock import Clock, to_instant
from tasks.core.errors import Ambiguous, BatchStopped, JobError, NotCreated, Refused, Rejected, Throttled
from tasks.core.records import Job, Prediction
from tasks.core.retry import retry_look

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
        find = self.options.find
        if find is None:
            return None
        is_whole = True
        for look in range(LOOKUPS):
            # No pause before the first look: most lost answers were lost on their way back, and the prediction is
            # there.
            if look:
                await self.clock.sleep(find.patience_s / (LOOKUPS - 1))
            listed = await self._list(find, job, since)
            is_whole = listed.is_whole
            # A prediction that another attempt has is not this one's, though the list shows it under the same job.
            taken = await find_taken(known, listed.ids)
            found = [prediction_id for prediction_id in dict.fromkeys(listed.ids) if prediction_id not in taken]
            # A list by job holds the other batches' predictions of the same job, so any that is free is as good.
            if len(found) > 1 and not (getattr(known, "is_complete", False) and self.options.finds_by_job()):
                raise Ambiguous(f"the look-up shows {len(found)} predictions of this job", cost_micros=None)
            if found and not self.options.finds_by_job():
                # It may be anybody's, and its image would be another one's.
                raise Ambiguous(
                    "the look-up shows everybody's predictions; write {job_id} into find, or job: where an item names it",
                    cost_micros=None,
                )
            if found:
                return Prediction(prediction_id=found[0])
        if not is_whole:
            raise Ambiguous("the look-up's list goes on after its first page; write find.next", cost_micros=None)
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

    async def _list(self, find: Lookup, job: Job, since: datetime) -> Listed:
        """The predictions that the look-up shows for a job.

        Raises:
            Ambiguous: They cannot be read.
        """
        values = {**self.api.build_values(job), "since": since.astimezone(UTC).isoformat()}
        # With `{page}` the call's own address leads to every page.
        is_own = "page" in find_names([find.url, find.headers, find.content])

        async def ask(values: Mapping[str, Any], page: str) -> Answer:
            await self.limiter.acquire()
            return await self.api.ask_list(find, values, "" if is_own else page)

        try:
            # A page that breaks is asked for again by itself, for of many pages one often does.
            return await list_predictions(find, values, partial(retry_look(httpx.HTTPError, self.clock.sleep), ask))
        except httpx.HTTPError as exc:
            reason = self.api.calls.describe_error(exc)
            raise Ambiguous(f"the look-up gives no answer ({reason})", cost_micros=None) from exc
