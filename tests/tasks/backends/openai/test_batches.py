"""The Batch API: half the price, days if need be, and nothing paid for twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tasks.backends.client.batches import results
from tasks.core.clock import Clock
from tasks.core.temporary_folder import PREFIX
from tasks.generate.jobs import generate_range
from tasks.ledger.queries import count_jobs
from tests.support.fakes.backends import EVERYTHING, batch_at, generate, make_instance_job, open_backend
from tests.support.fakes.openai_batches import OpenAIBatches, instance
from tests.support.fakes.openai_images import INPUT_TOKENS, OUTPUT_TOKENS
from tests.support.fakes.serving import serving
from tests.support.scripted_batch import ledger

HASTY = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 100))
TOGETHER_S = 10.0
"""Two seconds here: on a busy machine the jobs of one batch come further apart than a moment."""
SLOWER = Clock(sleep=lambda seconds: asyncio.sleep(seconds / 5))
COST_MICROS = (INPUT_TOKENS * 5 + OUTPUT_TOKENS * 32) // 2


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIBatches]:
    """The service, and its key where the backend looks for it."""
    service = OpenAIBatches()
    monkeypatch.setenv("OPENAI_API_KEY", service.key)
    async with serving(service):
        yield service


async def run(out: Path, provider: OpenAIBatches, jobs: int = 4, **changes: Any) -> Any:
    """Generate so many jobs and count."""
    chosen = instance(provider.url, **changes)
    return await generate(out, chosen, [make_instance_job(chosen, number) for number in range(jobs)], clock=SLOWER)


async def test_jobs_go_in_batches_of_a_bounded_size(out: Path, provider: OpenAIBatches) -> None:
    """50 jobs in batches of 20: two full ones and the rest, at half the price, each line answered with its own picture."""
    counts = await run(out, provider, 50, batch_jobs=20, batch_quiet_s=TOGETHER_S)
    assert (counts.succeeded, counts.cost_micros) == (50, 50 * COST_MICROS)
    sizes = [batch["request_counts"]["total"] for batch in provider.batches.values()]
    assert sorted(sizes) == [10, 20, 20]
    assert len(ledger(out, "SELECT DISTINCT sha256 FROM jobs")) == 50
    assert provider.requests["generate"] == 0


async def test_no_more_jobs_are_out_than_concurrency_says(out: Path, provider: OpenAIBatches) -> None:
    """Where it is smaller than a batch, batches are as small."""
    counts = await run(out, provider, 12, concurrency=5)
    assert counts.succeeded == 12
    assert max(batch["request_counts"]["total"] for batch in provider.batches.values()) <= 5


@pytest.mark.parametrize("fault", ["batch_drop_before", "batch_drop_after", "batch_not_json"])
async def test_a_batch_that_was_not_answered_is_found_again(fault: str, out: Path, provider: OpenAIBatches) -> None:
    """By its jobs' names, in a list that lags; what was never created is sent again."""
    provider.break_(fault, 1)
    provider.break_("batch_list_lag", 1)
    counts = await run(out, provider, 6)
    assert (counts.succeeded, len(provider.created)) == (6, 6)


async def test_two_folders_of_one_manifest_share_no_batch(tmp_path: Path, provider: OpenAIBatches) -> None:
    """Equal jobs on one key, every create of a batch unanswered: each folder finds its own lines, and no others."""
    provider.break_("batch_drop_after", 2)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    chosen = instance(provider.url)
    jobs = [make_instance_job(chosen, number) for number in range(3)]
    counts = await asyncio.gather(*(generate(folder, chosen, jobs, clock=SLOWER) for folder in folders))
    ids = [{row[0] for row in ledger(folder, "SELECT prediction_id FROM attempts")} for folder in folders]
    assert [count.succeeded for count in counts] == [3, 3]
    assert (len(ids[0] | ids[1]), len(provider.created)) == (6, 6)


async def test_a_list_that_cannot_be_read_holds(out: Path, provider: OpenAIBatches) -> None:
    """Nobody knows, so nothing is sent again."""
    provider.break_("batch_drop_after")
    provider.break_("batch_list_error")
    chosen = instance(provider.url)
    counts = await generate(out, chosen, [make_instance_job(chosen, number) for number in range(2)], clock=HASTY)
    assert (counts.held, len(provider.created)) == (2, 2)


@pytest.mark.parametrize("fault", ["upload_error", "poll_error", "download_drop"])
async def test_trouble_with_what_costs_nothing_is_waited_out(fault: str, out: Path, provider: OpenAIBatches) -> None:
    """The file is stored again, the batch looked at again, the output read again from its beginning."""
    provider.break_(fault, 1)
    counts = await run(out, provider)
    assert (counts.succeeded, len(provider.created)) == (4, 4)


async def test_what_expired_is_sent_again_and_what_was_done_is_not(out: Path, provider: OpenAIBatches) -> None:
    """The half that was done is stored and paid for; the other half costs nothing and goes into another batch."""
    provider.break_("batch_expires", 1)
    counts = await run(out, provider, 6, batch_quiet_s=TOGETHER_S)
    assert (counts.succeeded, counts.cost_micros) == (6, 6 * COST_MICROS)
    assert (len(provider.created), provider.requests["images"]) == (9, 6)


@pytest.mark.parametrize(
    ("fault", "kind", "unknown"),
    [
        ("batch_cancelled", "canceled", 0),
        ("batch_failed_file", "invalid", 0),
        ("line_moderation", "moderation", 0),
        ("line_invalid", "invalid", 0),
        ("line_missing", "no_output", 4),
        ("output_deleted", "output_gone", 4),
    ],
)
async def test_ends_without_a_picture(fault: str, kind: str, unknown: int, out: Path, provider: OpenAIBatches) -> None:
    """Each job with its own; somebody who cancels a batch does not want it sent again."""
    provider.break_(fault)
    counts = await run(out, provider)
    assert (dict(counts.errors), counts.cost_unknown, len(provider.created)) == ({kind: 4}, unknown, 4)


async def test_one_line_that_fails_leaves_the_others_alone(out: Path, provider: OpenAIBatches) -> None:
    """It is in the error file, they are in the output."""
    provider.break_("line_invalid", 1)
    counts = await run(out, provider, 5)
    assert (counts.succeeded, dict(counts.errors)) == (4, {"invalid": 1})


@pytest.mark.parametrize("fault", ["line_server_error", "line_no_credit"])
async def test_passing_failures_go_into_another_batch(fault: str, out: Path, provider: OpenAIBatches) -> None:
    """They cost nothing."""
    provider.break_(fault, 1)
    counts = await run(out, provider, 3)
    assert (counts.succeeded, counts.cost_micros, provider.requests["images"]) == (3, 3 * COST_MICROS, 3)


async def test_a_full_queue_is_waited_for(out: Path, provider: OpenAIBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a batch is given back for want of room, that is none of its jobs' attempts, and costs nothing."""
    monkeypatch.setattr(results, "ROOM_PAUSE_S", 1.0)
    provider.break_("batch_failed_tokens", 5)
    counts = await run(out, provider, 3, max_attempts=2, batch_jobs=3, batch_quiet_s=TOGETHER_S)
    assert (counts.succeeded, counts.cost_micros, provider.requests["images"]) == (3, 3 * COST_MICROS, 3)
    assert ledger(out, "SELECT DISTINCT attempts FROM jobs") == [(6,)]


async def test_an_account_that_is_empty_in_the_middle_stops_the_batch(out: Path, provider: OpenAIBatches) -> None:
    """Nobody's job is failed for it: the lines that were not done go into a batch that is refused."""
    provider.break_("line_no_credit", 3)
    chosen = instance(provider.url)
    async with batch_at(out, chosen, [make_instance_job(chosen, number) for number in range(3)], clock=SLOWER) as batch:
        running = asyncio.create_task(generate_range(batch, *EVERYTHING))
        while not provider.batches:
            await asyncio.sleep(0.01)
        provider.break_("batch_no_quota")
        await running
        assert batch.stop.cause is not None
        assert batch.stop.cause.reason == "credit"
        counts = await count_jobs(batch.engine)
    assert (counts.planned, counts.failed) == (3, 0)


async def test_a_batch_that_was_read_lies_on_disk_no_longer(
    out: Path, provider: OpenAIBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files go when its last line was read, not when the run ends: a long run needs the room of a few batches."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    chosen = instance(provider.url, batch_jobs=3, batch_quiet_s=TOGETHER_S)
    async with batch_at(out, chosen, [make_instance_job(chosen, number) for number in range(9)], clock=SLOWER) as batch:
        await generate_range(batch, *EVERYTHING)
        assert (await count_jobs(batch.engine)).succeeded == 9
        assert list(tmp_path.glob(f"{PREFIX}*/*")) == []
    assert len(provider.batches) == 3


async def test_a_full_folder_for_temporary_files_stops_and_loses_nothing(
    out: Path, provider: OpenAIBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that cannot be downloaded is no failed job: it is collected when there is room."""
    chosen = instance(provider.url, batch_jobs=3, batch_quiet_s=TOGETHER_S)
    jobs = [make_instance_job(chosen, number) for number in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr("tempfile.tempdir", str(tmp_path / "gone"))
        async with batch_at(out, chosen, jobs, clock=SLOWER) as batch:
            await generate_range(batch, *EVERYTHING)
            assert batch.stop.cause is not None
            assert batch.stop.cause.reason == "disk"
    assert ledger(out, "SELECT DISTINCT state FROM jobs") == [("submitted",)]
    counts = await generate(out, chosen, jobs, clock=SLOWER)
    assert (counts.succeeded, len(provider.created)) == (3, 3)


async def test_a_run_that_ends_early_leaves_its_batches_and_the_next_one_collects_them(
    out: Path, provider: OpenAIBatches
) -> None:
    """A second Ctrl-C cancels nothing at the provider: the ids are in the ledger, for days."""
    provider.looks = 10**6
    chosen = instance(provider.url)
    jobs = [make_instance_job(chosen, number) for number in range(8)]
    async with batch_at(out, chosen, jobs) as batch:
        running = asyncio.create_task(generate_range(batch, *EVERYTHING))
        while not provider.requests["get"] or (await count_jobs(batch.engine)).submitted < len(jobs):
            await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert ledger(out, "SELECT state, count(*) FROM jobs GROUP BY state") == [("submitted", 8)]
    assert provider.requests["cancel"] == 0
    for known in provider.batches.values():
        known["looks"] = 0
    counts = await generate(out, chosen, jobs, clock=SLOWER)
    assert (counts.succeeded, len(provider.created)) == (8, 8)


async def test_what_a_kill_left_without_an_id_is_found_by_its_name(out: Path, provider: OpenAIBatches) -> None:
    """The intents are in the ledger, the batch is in the list: adopted, not sent again."""
    chosen = instance(provider.url)
    jobs = [make_instance_job(chosen, number) for number in range(3)]
    async with batch_at(out, chosen, jobs) as batch:
        for job in jobs:
            await batch.journal.record_intent(job, number=1, reserved_micros=9_000, now_us=batch.clock.now_us())
        await asyncio.gather(*(batch.backend("api").submit(job, attempt=1) for job in jobs))
    counts = await generate(out, chosen, jobs, clock=SLOWER)
    assert (counts.succeeded, len(provider.created)) == (3, 3)


async def test_a_line_is_the_request_of_the_images_api(provider: OpenAIBatches) -> None:
    """Under a name of at most 64 characters."""
    chosen = instance(provider.url)
    backend = open_backend(chosen)
    await backend.submit(make_instance_job(chosen), attempt=12)
    await backend.close()
    [line] = [json.loads(line) for line in provider.files["file-1"].splitlines()]
    assert (line["method"], line["url"]) == ("POST", "/v1/images/generations")
    assert line["body"]["model"] == "gpt-image-1.5"
    assert len(line["custom_id"]) <= 64
