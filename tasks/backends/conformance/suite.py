"""The rules, one test each; `tasks.backends.conformance` says how they are run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.backends.base import supported_inputs
from tasks.backends.conformance.steps import (
    PATIENCE_S,
    assert_no_secret,
    assert_whole,
    build_square,
    catch_error,
    make_end,
    make_image,
    open_backend,
    refuse_network,
    submit_and_wait,
)
from tasks.backends.conformance.subject import Ending, Subject
from tasks.core.errors import (
    Ambiguous,
    BadImage,
    BatchStopped,
    ConfigError,
    ImagenError,
    JobError,
    NotCreated,
    Refused,
    Rejected,
    Throttled,
    Unfetched,
    UnreadableAnswer,
)
from tasks.core.records import Prediction
from tasks.store.references import find_reference

PROOFS: Mapping[Ending, type[ImagenError]] = {
    Ending.THROTTLED: Throttled,
    Ending.BAD_KEY: BatchStopped,
    Ending.NO_CREDIT: BatchStopped,
    Ending.INVALID: Rejected,
    Ending.ECHOED: Rejected,
}
"""Ends that prove that nothing was created, and the error that says so."""
UNCERTAIN = (Ending.LOST_BEFORE, Ending.LOST_AFTER, Ending.UNREADABLE)


@pytest.mark.asyncio
class BackendConformance:
    """The tests; a class of one's own inherits them and gives the fixture `subject`."""

    async def test_a_job_becomes_an_image(self, subject: Subject) -> None:
        """One prediction with an id, a whole image that may be fetched again, and a cost within the estimate."""
        async with open_backend(subject) as backend:
            job = subject.job()
            ended, data = await make_image(backend, job)
            assert subject.created() == 1, "one submit makes one prediction"
            assert ended.prediction_id, "a prediction without an id cannot be waited for by another process"
            assert await backend.fetch(job, ended) == data, "fetching is free and may be repeated"
            assert subject.created() == 1, "waiting and fetching create nothing"
            assert_whole(data)
            most = backend.estimate(job).most_micros
            assert (ended.cost_source is None) == (ended.cost_micros is None), "a known cost says where from"
            if most is not None and ended.cost_micros is not None:
                assert ended.cost_micros <= most, "a budget sets aside the most that an attempt can cost"

    async def test_jobs_at_the_same_time_are_kept_apart(self, subject: Subject) -> None:
        """Each has a prediction of its own."""
        async with open_backend(subject) as backend:
            sent = await asyncio.gather(*(backend.submit(subject.job(number), attempt=1) for number in range(4)))
            assert len({prediction.prediction_id for prediction in sent}) == 4
            assert subject.created() == 4

    async def test_estimating_asks_nobody(self, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
        """Estimates, problems, allowance and readiness are the same every time, and no connection is opened."""
        monkeypatch.setattr(socket.socket, "connect", refuse_network)
        backend, other = subject.backend(), subject.backend()
        job = subject.job()
        assert backend.estimate(job) == backend.estimate(job) == other.estimate(job)
        assert backend.allowance() == other.allowance(), "instances of one account share its allowance"
        assert backend.ready() is None
        assert backend.problems(job) == [], "a plain job is no problem"
        assert subject.created() == 0

    async def test_an_unknown_setting_is_named(self, subject: Subject) -> None:
        """As a `ConfigError` with the file and the setting."""
        with pytest.raises(ConfigError, match=r"imagen\.yaml.*no_such_setting"):
            subject.backend(no_such_setting=1)

    async def test_what_is_missing_is_named(self, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
        """By its environment variable."""
        if subject.variable is None:
            pytest.skip("this backend needs no environment variable")
        monkeypatch.delenv(subject.variable)
        assert subject.variable in (subject.backend().ready() or "")

    async def test_a_service_that_cannot_be_reached_has_created_nothing(self, subject: Subject) -> None:
        """`NotCreated`: the one end without an answer after which a create may be sent again unseen."""
        if subject.unreachable is None:
            pytest.skip("this backend reaches nobody")
        async with open_backend(subject, **subject.unreachable) as backend:
            error = await catch_error(backend.submit(subject.job(), attempt=1))
        assert isinstance(error, NotCreated)
        assert error.cost_micros == 0

    @pytest.mark.parametrize("ending", PROOFS, ids=lambda ending: ending.name)
    async def test_proof_that_nothing_was_created_is_a_type(self, ending: Ending, subject: Subject) -> None:
        """And costs nothing."""
        make_end(subject, ending)
        async with open_backend(subject) as backend:
            error = await catch_error(make_image(backend, subject.job()))
        assert isinstance(error, PROOFS[ending]), f"{ending}: {error!r}"
        assert subject.created() == 0
        assert not isinstance(error, JobError) or error.cost_micros == 0
        assert_no_secret(error, subject)

    async def test_a_refusal_is_never_taken_for_anything_else(self, subject: Subject) -> None:
        """Moderation is `Refused`: the same prompt is not sent again."""
        make_end(subject, Ending.REFUSED)
        async with open_backend(subject) as backend:
            error = await catch_error(make_image(backend, subject.job()))
        assert isinstance(error, Refused)
        assert_no_secret(error, subject)

    @pytest.mark.parametrize("ending", UNCERTAIN, ids=lambda ending: ending.name)
    async def test_what_is_uncertain_is_never_paid_twice(self, ending: Ending, subject: Subject) -> None:
        """`Ambiguous`, and a look-up that says None only where nothing was created; or the answer is kept as it came."""
        make_end(subject, ending)
        begun = datetime.now(UTC) - timedelta(seconds=1)
        async with open_backend(subject) as backend:
            error = await catch_error(submit_and_wait(backend, subject.job()))
            assert_no_secret(error, subject)
            if isinstance(error, UnreadableAnswer):
                assert error.raw, "an answer that may have been paid for is kept as it came"
                assert error.cost_micros != 0, "what it cost is not known to be nothing"
                return
            assert isinstance(error, Ambiguous), f"{ending}: {error!r}"
            assert error.cost_micros is None, "what it cost is not known"
            made = subject.created()
            try:
                found = await backend.find(subject.job(), since=begun, known=())
            except Ambiguous as held:
                assert held.cost_micros is None
                assert_no_secret(held, subject)
            else:
                assert subject.created() <= 1, "looking for a prediction makes no second one"
                assert found is not None or made == 0, "None is certainty that there is none"
        assert made == (ending is not Ending.LOST_BEFORE)

    async def test_what_was_found_is_not_found_again(self, subject: Subject) -> None:
        """`known` are other attempts' predictions."""
        begun = datetime.now(UTC) - timedelta(seconds=1)
        async with open_backend(subject) as backend:
            sent = await backend.submit(subject.job(), attempt=1)
            try:
                found = await backend.find(subject.job(), since=begun, known={sent.prediction_id})
            except Ambiguous:
                return
            assert found is None
            assert subject.created() == 1

    async def test_an_end_without_an_image_is_an_error(self, subject: Subject) -> None:
        """It ends the attempt, not the batch, and nothing is created in its place."""
        make_end(subject, Ending.FAILED)
        async with open_backend(subject) as backend:
            error = await catch_error(make_image(backend, subject.job()))
        assert isinstance(error, JobError)
        assert not isinstance(error, NotCreated | Throttled | Ambiguous), "an end is not uncertain"
        assert not isinstance(error, BadImage | Unfetched), "these are for fetching, which is repeated"
        assert subject.created() <= 1
        assert_no_secret(error, subject)

    async def test_another_process_goes_on_from_the_id(self, subject: Subject) -> None:
        """It gets the image, or says that it is gone; it pays for nothing."""
        async with open_backend(subject) as backend:
            sent = await backend.submit(subject.job(), attempt=1)
        async with open_backend(subject) as backend:
            resumed = Prediction(prediction_id=sent.prediction_id, model_version=sent.model_version)
            try:
                ended = await asyncio.wait_for(backend.wait(subject.job(), resumed), PATIENCE_S)
            except JobError as error:
                assert error.error_kind == "output_gone", "what cannot be had any more says so"
            else:
                assert_whole(await backend.fetch(subject.job(), ended))
        assert subject.created() == 1

    async def test_cancelling_is_quiet(self, subject: Subject) -> None:
        """A prediction that runs, one that has ended, one that nobody knows: nothing is raised, nothing is created."""
        async with open_backend(subject) as backend:
            ended, _ = await make_image(backend, subject.job())
            running = await backend.submit(subject.job(1), attempt=1)
            for prediction in (running, ended, Prediction(prediction_id="nobody-knows-it")):
                await asyncio.wait_for(backend.cancel(prediction), PATIENCE_S)
            assert subject.created() == 2

    async def test_an_image_starts_from_the_one_that_was_planned(self, subject: Subject, tmp_path: Path) -> None:
        """A backend that takes `image` makes a job with one; of a file that has changed since, it creates nothing."""
        async with open_backend(subject) as backend:
            if "image" not in supported_inputs(backend):
                pytest.skip("this backend takes no images")
            (tmp_path / "start.png").write_bytes(build_square(64))
            job = subject.job(image=find_reference("start.png", tmp_path))
            assert backend.problems(job) == []
            _, data = await make_image(backend, job)
            assert_whole(data)
            assert subject.created() == 1
            (tmp_path / "start.png").write_bytes(build_square(48))
            error = await catch_error(make_image(backend, job))
            assert isinstance(error, Rejected), "the job's identity is that of the old bytes"
            assert error.cost_micros == 0
            assert subject.created() == 1, "a file that has changed is not sent"

    async def test_closing_is_quiet(self, subject: Subject) -> None:
        """Unused, and twice."""
        backend = subject.backend()
        await backend.close()
        await backend.close()
        async with open_backend(subject) as used:
            await make_image(used, subject.job())
            await used.close()
