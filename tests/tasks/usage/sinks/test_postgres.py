"""The sink `postgres` against a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from tasks.core.clock import to_instant
from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import UsageAway, UsageRefused
from tasks.usage.query import UsageQuery
from tasks.usage.report import read_groups
from tests.support.factories import START_US
from tests.support.services.supabase import UsageDatabase
from tests.tasks.usage.ledgers import EVERYTHING, keep, make_row, push, rows_in, write_batch

SINK = UsageSettings(sink="postgres")
VARIABLE = "IMAGEN_USAGE_DATABASE_URL"


@asynccontextmanager
async def house_rule(database: UsageDatabase, condition: str) -> AsyncIterator[None]:
    """For the duration of the block the table takes no row that breaks a rule of the house."""
    await database.fetch(f"ALTER TABLE mai.imagen_usage ADD CONSTRAINT house CHECK ({condition})")
    try:
        yield
    finally:
        await database.fetch("ALTER TABLE mai.imagen_usage DROP CONSTRAINT house")


@pytest.mark.usefixtures("usage_database")
async def test_rows_come_back_as_they_went() -> None:
    """Exact to the microsecond, the millionth of a dollar and the last bit of a 63-bit seed; unknown stays unknown."""
    rows = [
        make_row(2, seed=2**63 - 1, cost_micros=1, latency_ms=None),
        make_row(1, created_at_us=START_US + 123_456, cost_micros=None, model="", latency_ms=2**40),
    ]
    await keep(rows, SINK)
    assert await rows_in(SINK) == rows


@pytest.mark.usefixtures("usage_database")
async def test_a_push_repeated_adds_nothing_and_one_that_changed_replaces() -> None:
    """An attempt is one row: the same row changes nothing, and its later end takes the place of the earlier one."""
    await keep([make_row(1), make_row(2, status="held", cost_micros=None)], SINK)
    await keep([make_row(1), make_row(2, status="failed", cost_micros=0), make_row(3)], SINK)
    rows = [(row.seed, row.status, row.cost_micros) for row in await rows_in(SINK)]
    assert rows == [(3, "succeeded", None), (2, "failed", 0), (1, "succeeded", None)]


@pytest.mark.usefixtures("usage_database")
async def test_groups_are_added_up_by_the_database() -> None:
    """Sums, unknown costs and mean latency, the dearest first; a window is half open, a day one of UTC."""
    late = round(datetime(2026, 11, 23, 23, 59, 58, tzinfo=UTC).timestamp() * 1e6)
    await keep([make_row(n, created_at_us=late + n * 1_000_000, latency_ms=n) for n in range(5)], SINK)
    [group] = await read_groups(SINK, EVERYTHING)
    assert (group.key, group.images, group.cost_micros, group.cost_unknown) == (("flux", "m", "tester"), 5, 9_000, 2)
    assert group.latency_ms == 2
    window = UsageQuery(since=to_instant(late), until=to_instant(late) + timedelta(seconds=3), by=("day", "backend"))
    assert [(group.key, group.images) for group in await read_groups(SINK, window)] == [
        (("2026-11-23", "flux"), 2),
        (("2026-11-24", "flux"), 1),
    ]


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        ("password", "key", f"put the right one into {VARIABLE}"),
        ("database", "setting", f"look at {VARIABLE}"),
        ("table", "schema", "`imagen usage migrate`"),
        ("role", "permission", "may not use mai.imagen_usage"),
        ("row", "data", "does not take a row"),
    ],
)
async def test_refusals_are_told_apart(
    usage_database: UsageDatabase, change: str, reason: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says what has to be mended, none shows the password, none is tried again."""
    urls = {
        "password": usage_database.url.replace("secret-of-a-test", "wrong-secret"),
        "database": usage_database.url.replace("/usage", "/nothing"),
        "table": usage_database.server.url("postgres"),
        "role": usage_database.server.url("usage", user="authenticator"),
        "row": usage_database.url,
    }
    monkeypatch.setenv(VARIABLE, urls[change])
    with pytest.raises(UsageRefused) as caught:
        await keep(
            [make_row(1, seed=None if change != "row" else 1, prompt_hash=None if change == "row" else "x")], SINK
        )
    assert caught.value.reason == reason
    assert advice in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("usage_database")
async def test_a_row_that_is_refused_holds_up_no_other(usage_database: UsageDatabase, tmp_path: Path) -> None:
    """A house's own rule keeps out what it is about; all else is pushed, and the row stays pending with the reason."""
    await write_batch(tmp_path, 20)
    async with house_rule(usage_database, "latency_ms <> 1007"):
        report = await push(tmp_path, SINK)
    assert (report.pushed, report.pending) == (19, 1)
    assert "house" in (report.warning or "")
    assert (await push(tmp_path, SINK)).pending == 0
    assert await usage_database.count() == (20, 20)


@pytest.mark.usefixtures("usage_database")
async def test_a_table_that_takes_no_row_is_not_asked_for_each(usage_database: UsageDatabase, tmp_path: Path) -> None:
    """Where all are refused it is not the rows that are wrong: the push ends, and nothing is lost."""
    await write_batch(tmp_path, 700)
    async with house_rule(usage_database, "latency_ms < 0"):
        report = await push(tmp_path, SINK)
    assert (report.pushed, report.pending) == (0, 700)
    assert "house" in (report.warning or "")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://root:secret@h/d",
        "postgresql://u:secret@h:port/d",
        "postgresql://h:99999/d",
        "postgresql://u:secret@h..example/d",
        "http://h",
        "nonsense",
    ],
)
async def test_a_url_that_cannot_be_used(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One message that names the variable and not what it holds; the rows stay pending."""
    monkeypatch.setenv(VARIABLE, url)
    await write_batch(tmp_path, 2)
    report = await push(tmp_path, SINK)
    assert (report.pushed, report.pending) == (0, 2)
    assert report.warning is not None
    assert VARIABLE in report.warning
    assert "secret" not in report.warning


async def test_both_spellings_of_the_scheme_are_taken(
    usage_database: UsageDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of libpq and that of SQLAlchemy; what stands behind the question mark is understood too."""
    for number, scheme in enumerate(("postgres", "postgresql", "postgresql+asyncpg")):
        url = usage_database.url.replace("postgresql", scheme, 1) + "?sslmode=prefer"
        monkeypatch.setenv(VARIABLE, url)
        await keep([make_row(number)], SINK)
    assert await usage_database.count() == (3, 3)


async def test_nobody_there_is_an_absence_not_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nobody listens, and a name that nobody knows, are tried again."""
    for place in ("127.0.0.1:1", "no-such-host.invalid"):
        monkeypatch.setenv(VARIABLE, f"postgresql://u:secret@{place}/d")
        with pytest.raises(UsageAway, match="cannot be reached"):
            await keep([make_row(1)], SINK)


@pytest.mark.usefixtures("usage_database")
async def test_a_connection_that_the_server_is_ending_is_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a server's goodbye and the end of the connection its driver complains of itself; trying again helps."""

    async def complain(*_: object, **__: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    monkeypatch.setattr(asyncpg.Connection, "prepare", complain)
    with pytest.raises(UsageAway, match="is in progress"):
        await rows_in(SINK)


async def test_an_option_that_no_server_knows_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asyncpg raises before it connects is one of our errors, with every supported SQLAlchemy."""
    monkeypatch.setenv(VARIABLE, "postgresql://u:secret@127.0.0.1:1/d?sslmode=perhaps")
    with pytest.raises(UsageRefused, match="sslmode"):
        await keep([make_row(1)], SINK)
