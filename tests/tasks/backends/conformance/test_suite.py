"""The conformance suite itself: a backend that breaks a rule does not pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from tasks.backends.conformance import BackendConformance, Ending, Subject
from tasks.backends.http_api.backend import HttpBackend
from tasks.core.errors import JobError, Rejected
from tasks.core.records import Job, Prediction
from tasks.store.references import find_reference
from tests.support.fakes.json_api import JsonApi, at_once, polled
from tests.support.fakes.serving import serving

SUITE = BackendConformance()


class SaysNoneByGuess(HttpBackend):
    """Takes "I do not know" for "there is none"."""

    async def find(self, job: Job, *, since: datetime, known: Collection[str]) -> Prediction | None:
        return None


class CallsItRejected(HttpBackend):
    """Takes a lost answer for a refusal."""

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        try:
            return await super().submit(job, attempt=attempt)
        except JobError as error:
            raise Rejected(str(error)) from error


class SendsTwice(HttpBackend):
    """Tries again by itself."""

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        await super().submit(job, attempt=attempt)
        return await super().submit(job, attempt=attempt)


class TellsTheKey(HttpBackend):
    """Puts more into a message than belongs there."""

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        try:
            return await super().submit(job, attempt=attempt)
        except JobError as error:
            error.args = (f"{error} {self._api.calls._secrets}",)
            raise


class PaysAgainAfterARestart(HttpBackend):
    """Makes another one where it cannot go on."""

    async def wait(self, job: Job, prediction: Prediction) -> Prediction:
        if prediction.created_at is None:
            prediction = await self.submit(job, attempt=2)
        return await super().wait(job, prediction)


class SendsWhatIsThere(HttpBackend):
    """Does not look whether the file is still the one that was planned."""

    async def submit(self, job: Job, *, attempt: int) -> Prediction:
        if job.image is not None:
            path = Path(job.image.address)
            job = replace(job, image=find_reference(path.name, path.parent))
        return await super().submit(job, attempt=attempt)


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JsonApi]:
    """A service."""
    service = JsonApi()
    monkeypatch.setenv("ANY_KEY", service.key)
    async with serving(service):
        yield service


def build_subject(backend: type[HttpBackend], provider: JsonApi) -> Subject:
    """A broken backend as a subject."""
    return Subject(
        build=backend,
        instance=polled(provider.url),
        created=lambda: len(provider.created),
        endings={
            Ending.LOST_AFTER: partial(provider.break_, "drop_after", 1),
            Ending.INVALID: partial(provider.break_, "invalid", 1),
        },
        secrets=(provider.key,),
    )


async def test_a_guess_is_caught(provider: JsonApi) -> None:
    """None without certainty would be paid twice."""
    with pytest.raises(AssertionError, match="certainty"):
        await SUITE.test_what_is_uncertain_is_never_paid_twice(
            Ending.LOST_AFTER, build_subject(SaysNoneByGuess, provider)
        )


async def test_a_wrong_type_is_caught(provider: JsonApi) -> None:
    """A lost answer proves nothing."""
    with pytest.raises(AssertionError, match="Rejected"):
        await SUITE.test_what_is_uncertain_is_never_paid_twice(
            Ending.LOST_AFTER, build_subject(CallsItRejected, provider)
        )


async def test_a_second_call_is_caught(provider: JsonApi) -> None:
    """One submit is one prediction."""
    with pytest.raises(AssertionError, match="one submit"):
        await SUITE.test_a_job_becomes_an_image(build_subject(SendsTwice, provider))


async def test_a_secret_in_a_message_is_caught(provider: JsonApi) -> None:
    """Wherever the message comes from."""
    with pytest.raises(AssertionError, match="logs, ledgers and screens"):
        await SUITE.test_proof_that_nothing_was_created_is_a_type(Ending.INVALID, build_subject(TellsTheKey, provider))


async def test_a_second_payment_after_a_restart_is_caught(provider: JsonApi) -> None:
    """Going on from an id creates nothing."""
    with pytest.raises(AssertionError):
        await SUITE.test_another_process_goes_on_from_the_id(build_subject(PaysAgainAfterARestart, provider))


async def test_an_image_of_other_bytes_is_caught(provider: JsonApi, tmp_path: Path) -> None:
    """A file that has changed belongs to another job."""
    subject = replace(build_subject(SendsWhatIsThere, provider), instance=at_once(provider.url, "raw"))
    with pytest.raises(AssertionError, match="nothing was raised"):
        await SUITE.test_an_image_starts_from_the_one_that_was_planned(subject, tmp_path)
