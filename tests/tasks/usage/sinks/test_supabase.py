"""The sink `supabase` against a real PostgREST before a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from postgrest import AsyncPostgrestClient

from tasks.core.clock import to_instant
from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import UsageAway, UsageRefused
from tasks.core.retry import retry_usage
from tasks.usage.query import UsageQuery
from tasks.usage.report import read_groups
from tasks.usage.sinks import open_sink
from tests.support.factories import START_US, FakeClock
from tests.support.raw_server import http, raw_server
from tests.support.services.postgrest import MAX_ROWS, key, running_postgrest
from tests.support.services.supabase import Supabase
from tests.support.waiting import PATIENCE_S
from tests.tasks.usage.ledgers import EVERYTHING, keep, make_row, push, rows_in, write_batch

SINK = UsageSettings(sink="supabase", rest_path="")


async def refusal(settings: UsageSettings = SINK) -> UsageRefused:
    """The error that a push of one row ends in."""
    with pytest.raises(UsageRefused) as caught:
        await keep([make_row(1)], settings)
    return caught.value


@pytest.mark.usefixtures("supabase")
async def test_rows_come_back_as_they_went() -> None:
    """Exact to the microsecond, the millionth of a dollar and the last bit of a 63-bit seed; unknown stays unknown."""
    rows = [
        make_row(2, seed=2**63 - 1, cost_micros=1, latency_ms=None),
        make_row(1, created_at_us=START_US + 123_456, cost_micros=None, model="", caller='a, "b" (c)'),
    ]
    await keep(rows, SINK)
    assert await rows_in(SINK) == rows


@pytest.mark.usefixtures("supabase")
async def test_a_push_repeated_adds_nothing_and_one_that_changed_replaces() -> None:
    """An attempt is one row: the same row changes nothing, and its later end takes the place of the earlier one."""
    await keep([make_row(1), make_row(2, status="held", cost_micros=None)], SINK)
    await keep([make_row(1), make_row(2, status="failed", cost_micros=0), make_row(3)], SINK)
    rows = [(row.seed, row.status, row.cost_micros) for row in await rows_in(SINK)]
    assert rows == [(3, "succeeded", None), (2, "failed", 0), (1, "succeeded", None)]


@pytest.mark.usefixtures("supabase")
async def test_more_rows_than_the_server_gives_at_once() -> None:
    """2,600 rows, many of one instant, past a limit of 1,000: each is read once, in order, and the groups have them."""
    count = 2_600
    assert count > 2 * MAX_ROWS
    for first in range(0, count, 500):
        rows = [make_row(n, created_at_us=START_US + n // 7, cost_micros=1_000) for n in range(first, first + 500)]
        await keep(rows[: count - first], SINK)
    found = await rows_in(SINK)
    assert len({row.id for row in found}) == len(found) == count
    assert [(row.created_at_us, row.id) for row in found] == sorted(
        ((row.created_at_us, row.id) for row in found), reverse=True
    )
    [group] = await read_groups(SINK, EVERYTHING)
    assert (group.key, group.images, group.cost_micros) == (("flux", "m", "tester"), count, count * 1_000)


async def test_a_server_that_gives_fewer_rows_than_asked_for(
    supabase: Supabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short page is not the last one: its limit may be smaller than ours."""
    await keep([make_row(number) for number in range(250)], SINK)
    with running_postgrest(supabase.database.server, **{**supabase.api.settings, "DB_MAX_ROWS": "100"}) as api:
        monkeypatch.setenv("SUPABASE_URL", api.url)
        assert [row.seed for row in await rows_in(SINK)] == list(range(249, -1, -1))


@pytest.mark.usefixtures("supabase")
async def test_windows_and_days() -> None:
    """From an instant on, up to another that does not count; days are those of UTC."""
    late = round(datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC).timestamp() * 1e6)
    await keep([make_row(n, created_at_us=late + n * 1_000_000, cost_micros=None) for n in range(3)], SINK)
    window = UsageQuery(since=to_instant(late), until=to_instant(late) + timedelta(seconds=2), by=("day", "caller"))
    groups = await read_groups(SINK, window)
    assert [(group.key, group.images, group.cost_unknown) for group in groups] == [
        (("2026-11-23", "tester"), 1, 1),
        (("2026-11-24", "tester"), 1, 1),
    ]


async def test_the_official_client_reads_what_was_pushed(supabase: Supabase, tmp_path: Path) -> None:
    """A batch pushed from its ledger, as a user of Supabase's own library sees it."""
    await write_batch(tmp_path, 3)
    report = await push(tmp_path, SINK)
    assert (report.pushed, report.pending, report.warning) == (3, 0, None)
    headers = {"Authorization": f"Bearer {key()}"}
    async with AsyncPostgrestClient(supabase.api.url, schema="mai", headers=headers) as client:
        answer = await client.from_("imagen_usage").select("*").order("latency_ms").execute()
    records: list[Any] = list(answer.data)
    assert [record["latency_ms"] for record in records] == [1_000, 1_001, 1_002]
    assert {record["caller"] for record in records} == {"tester"}
    assert {record["cost_usd_estimate"] for record in records} == {0.003}


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_the_service_role_gets_at_the_rows(
    supabase: Supabase, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that everybody has neither writes nor reads, and the message says which key is needed."""
    await keep([make_row(1)], SINK)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", key(role))
    error = await refusal()
    assert error.reason == "permission"
    assert "service role's key" in str(error)
    with pytest.raises(UsageRefused):
        await rows_in(SINK)
    assert await supabase.database.count() == (1, 1)


@pytest.mark.parametrize(
    ("case", "reason", "advice"),
    [
        ("of another project", "key", "put the right one into"),
        ("no token", "key", "put the right one into"),
        ("of no role", "key", "put the right one into"),
        ("old", "expired", "put a new one into"),
    ],
)
@pytest.mark.usefixtures("supabase")
async def test_a_key_that_is_not_taken(case: str, reason: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong, expired and made-up keys are told apart, and no message shows one."""
    wrong = {
        "of another project": key(secret="a secret that another project signs its keys with"),
        "no token": "not-a-token",
        "of no role": key("nobody_of_that_name"),
        "old": key(expires_in_s=-60),
    }[case]
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", wrong)
    error = await refusal()
    assert error.reason == reason
    assert advice in str(error)
    assert "SUPABASE_SERVICE_ROLE_KEY" in str(error)
    assert wrong not in str(error)


async def test_a_database_that_was_not_migrated(supabase: Supabase) -> None:
    """Without the table the message names the command that makes it, whether PostgREST knew the table once or never."""
    await supabase.database.fetch("ALTER TABLE mai.imagen_usage RENAME TO hidden;")
    try:
        known_once = await refusal()
        await supabase.database.fetch("NOTIFY pgrst, 'reload schema';")
        async with asyncio.timeout(PATIENCE_S):
            while str(never_known := await refusal()) == str(known_once):
                await asyncio.sleep(0.02)
        for error in (known_once, never_known):
            assert (error.reason, "`imagen usage migrate`" in str(error)) == ("schema", True)
    finally:
        await supabase.database.fetch("ALTER TABLE mai.hidden RENAME TO imagen_usage; NOTIFY pgrst, 'reload schema';")
        await _until_known()


async def _until_known() -> None:
    """Wait until PostgREST has read the schema again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await keep([make_row(0)], SINK)
            except UsageRefused:
                await asyncio.sleep(0.02)


async def test_a_schema_that_the_api_does_not_show(supabase: Supabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting that is missing is named, since no migration mends it."""
    settings = {**supabase.api.settings, "DB_SCHEMAS": "public"}
    with running_postgrest(supabase.database.server, **settings) as api:
        monkeypatch.setenv("SUPABASE_URL", api.url)
        error = await refusal()
    assert error.reason == "schema"
    assert "exposed schemas" in str(error)


async def test_a_row_that_the_table_does_not_take(supabase: Supabase) -> None:
    """A constraint of the user's own is said to be one, and nothing of the batch of rows is kept."""
    await supabase.database.fetch("ALTER TABLE mai.imagen_usage ADD CONSTRAINT ours CHECK (seed <> 7);")
    try:
        with pytest.raises(UsageRefused, match="ours") as caught:
            await keep([make_row(6), make_row(7)], SINK)
        assert caught.value.reason == "data"
        assert await supabase.database.count() == (0, 0)
    finally:
        await supabase.database.fetch("ALTER TABLE mai.imagen_usage DROP CONSTRAINT ours;")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", ""),
        ("SUPABASE_URL", "project.supabase.co"),
        ("SUPABASE_URL", "https://project.supabase.co:99999"),
        ("SUPABASE_URL", "https://xn--project-"),
        ("SUPABASE_URL", "postgresql://u:very-secret@h/d"),
        ("SUPABASE_URL", "https://u:a@very-secret/b@h"),
        ("SUPABASE_SERVICE_ROLE_KEY", ""),
        ("SUPABASE_SERVICE_ROLE_KEY", "very-secret two words"),
        ("SUPABASE_SERVICE_ROLE_KEY", "very-secret\nlines"),
    ],
)
async def test_variables_that_cannot_be_used(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One message that names the variable and not what it holds; the rows stay pending."""
    monkeypatch.setenv("SUPABASE_URL", "https://project.supabase.co")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "x")
    monkeypatch.setenv(name, value)
    await write_batch(tmp_path, 2)
    report = await push(tmp_path, SINK)
    assert (report.pushed, report.pending) == (0, 2)
    assert report.warning is not None
    assert name in report.warning
    assert "very-secret" not in report.warning


async def test_variables_may_have_other_names(supabase: Supabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration renames both."""
    monkeypatch.setenv("OUR_URL", os.environ.pop("SUPABASE_URL"))
    monkeypatch.setenv("OUR_KEY", os.environ.pop("SUPABASE_SERVICE_ROLE_KEY"))
    settings = SINK.model_copy(update={"url_env": "OUR_URL", "key_env": "OUR_KEY"})
    await keep([make_row(1)], settings)
    assert await supabase.database.count() == (1, 1)


@pytest.mark.parametrize("path", ["", "/rest/v1", "/rest/v1/"])
async def test_the_projects_url_and_the_apis_are_both_taken(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's path is put behind the URL once, whether it stands there already or not."""
    monkeypatch.setenv("SUPABASE_URL", f"https://project.supabase.co{path}")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", key())
    async with open_sink(UsageSettings(sink="supabase"), retrying=retry_usage(FakeClock().sleep)) as sink:
        assert str(sink._http.base_url) == "https://project.supabase.co/rest/v1/"  # type: ignore[union-attr]


@pytest.mark.usefixtures("supabase")
async def test_an_address_without_the_api_is_said_to_be_wrong() -> None:
    """A bare PostgREST has no /rest/v1: the message names variable and setting."""
    assert "SUPABASE_URL and usage.rest_path" in str(await refusal(UsageSettings(sink="supabase")))


async def test_a_web_page_is_not_taken_for_the_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An address that says 200 to everything has not kept a row: they stay pending."""
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", key())
    await write_batch(tmp_path, 2)
    async with raw_server(http("200 OK", "<html>welcome", content_type="text/html")) as page:
        monkeypatch.setenv("SUPABASE_URL", page.url)
        report = await push(tmp_path, SINK)
    assert (report.pushed, report.pending) == (0, 2)
    assert "SUPABASE_URL" in (report.warning or "")


async def test_newer_keys_are_no_bearer_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sb_secret_...` goes into the header `apikey` only; a JWT into both."""
    monkeypatch.setenv("SUPABASE_URL", "https://project.supabase.co")
    for value, bearer in (("sb_secret_x", None), ("a.b.c", "Bearer a.b.c")):
        monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", value)
        async with open_sink(UsageSettings(sink="supabase"), retrying=retry_usage(FakeClock().sleep)) as sink:
            headers = sink._http.headers  # type: ignore[union-attr]
            assert (headers["apikey"], headers.get("authorization")) == (value, bearer)


async def test_nobody_there_is_waited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Growing waits, a minute in all, then one clear error."""
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", key())
    clock = FakeClock()
    async with open_sink(SINK, retrying=retry_usage(clock.sleep)) as sink:
        assert sink is not None
        with pytest.raises(UsageAway, match=r"127\.0\.0\.1 cannot be reached"):
            await sink.push([make_row(1)])
    assert 5 <= len(clock.slept_s) <= 10
    assert 30 < sum(clock.slept_s) <= 60
