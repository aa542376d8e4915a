"""The migration of `mai.imagen_usage` on real servers: plain PostgreSQL, and one with Supabase's roles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import UsageRefused
from tasks.usage.migrate import apply_migrations, choose_database, read_migrations
from tasks.usage.sinks.postgres import Database
from tests.support.services.postgresql import Postgresql, running_postgresql
from tests.support.services.supabase import UsageDatabase
from tests.tasks.usage.ledgers import keep, make_row, rows_in

COLUMNS = """SELECT column_name, data_type, numeric_precision, numeric_scale, is_nullable
    FROM information_schema.columns WHERE table_schema = 'mai' AND table_name = 'imagen_usage' ORDER BY ordinal_position"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'mai' ORDER BY indexname"
CATALOGUE = [
    COLUMNS,
    INDEXES,
    "SELECT relrowsecurity, relacl::text FROM pg_class WHERE oid = 'mai.imagen_usage'::regclass",
    "SELECT policyname, roles::text, cmd, qual, with_check FROM pg_policies WHERE schemaname = 'mai'",
    "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'mai'",
    "SELECT description FROM pg_description JOIN pg_class ON objoid = pg_class.oid WHERE relname = 'imagen_usage'",
]


@pytest.fixture(scope="module")
def plain() -> Iterator[Postgresql]:
    """A server that has never heard of Supabase."""
    with running_postgresql() as server:
        yield server


async def test_plain_postgresql_takes_it_and_takes_it_again(plain: Postgresql, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns and indexes are the ones agreed on; applied again it changes nothing; rows go in."""
    database = Database(plain.url(), named="--url")
    first = await apply_migrations(database)
    before = [await plain.fetch(query) for query in CATALOGUE]
    second = await apply_migrations(database)
    assert [await plain.fetch(query) for query in CATALOGUE] == before
    assert (first.created, second.created) == (True, False)
    assert "made mai.imagen_usage" in first.lines()[0]
    assert "nothing changed" in second.lines()[0]
    assert "exposed schemas" in first.lines()[1]
    assert [(name, kind) for name, kind, *_ in before[0]] == [
        ("id", "uuid"),
        ("created_at", "timestamp with time zone"),
        ("backend", "text"),
        ("model", "text"),
        ("seed", "bigint"),
        ("prompt_hash", "text"),
        ("latency_ms", "bigint"),
        ("cost_usd_estimate", "numeric"),
        ("caller", "text"),
        ("status", "text"),
        ("batch", "text"),
        ("deployment", "text"),
    ]
    assert before[0][7][2:4] == (12, 6)
    assert [definition.partition(" USING ")[2] for (definition,) in before[1]] == [
        "btree (batch)",
        "btree (caller)",
        "btree (created_at DESC)",
        "btree (id)",
    ]
    monkeypatch.setenv("IMAGEN_USAGE_DATABASE_URL", plain.url())
    await keep([make_row(1)], UsageSettings(sink="postgres"))
    assert await rows_in(UsageSettings(sink="postgres")) == [make_row(1)]


async def test_the_view_for_dashboards_is_the_bill(plain: Postgresql, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sums are those of the table, by day and by everything that a row names."""
    await plain.fetch("create database viewed")
    await apply_migrations(Database(plain.url("viewed"), named="--url"))
    monkeypatch.setenv("IMAGEN_USAGE_DATABASE_URL", plain.url("viewed"))
    rows = [make_row(0, deployment="nightly"), make_row(1), make_row(2, status="failed"), make_row(4)]
    judged = [make_row(6, status="judge_succeeded"), make_row(8, status="judge_failed")]
    await keep([*rows, *judged], UsageSettings(sink="postgres"))
    query = """select deployment, images, failures, cost_usd::float, failures_cost_usd::float, cost_unknown
        from mai.imagen_costs order by deployment"""
    assert [tuple(row) for row in await plain.fetch(query, "viewed")] == [
        ("", 2, 2, 0.012, 0.006, 1),
        ("nightly", 1, 0, 0.003, None, 0),
    ]
    [(options,)] = await plain.fetch("select reloptions from pg_class where relname = 'imagen_costs'", "viewed")
    assert options == ["security_invoker=true"]


@pytest.mark.parametrize("added", [("status", "batch", "deployment"), ("deployment",)])
async def test_a_table_of_an_older_version_gets_the_new_columns(
    plain: Postgresql, monkeypatch: pytest.MonkeyPatch, added: tuple[str, ...]
) -> None:
    """Its rows and the readers of its nine columns go on, whichever version made it; the report names what was added."""
    older = f"older_{len(added)}"
    await plain.fetch(f"create database {older}")
    migrations = list(read_migrations().values())
    await plain.fetch(migrations[0], older)
    if "status" not in added:
        await plain.fetch(migrations[1], older)
    nine = "id, created_at, backend, model, seed, prompt_hash, latency_ms, cost_usd_estimate, caller"
    await plain.fetch(
        f"insert into mai.imagen_usage ({nine}) values (gen_random_uuid(), now(), 'b', 'm', 1, 'h', 2, 0.003, 'c')",
        older,
    )
    report = await apply_migrations(Database(plain.url(older), named="--url"))
    assert (report.created, report.added) == (False, added)
    assert f"added {', '.join(added)}" in report.lines()[0]
    monkeypatch.setenv("IMAGEN_USAGE_DATABASE_URL", plain.url(older))
    await keep([make_row(0, status="failed", batch="b-1")], UsageSettings(sink="postgres"))
    rows = await rows_in(UsageSettings(sink="postgres"))
    assert sorted((row.status, row.batch) for row in rows) == [("failed", "b-1"), ("succeeded", "")]
    assert len(await plain.fetch(f"select {nine} from mai.imagen_usage", older)) == 2


async def test_on_supabase_only_the_service_role_gets_at_it(usage_database: UsageDatabase) -> None:
    """Row level security is on, the service role reads, adds and replaces, everybody's roles get nothing; twice is once."""
    before = [await usage_database.fetch(query) for query in CATALOGUE]
    await apply_migrations(Database(usage_database.url, named="--url"))
    assert [await usage_database.fetch(query) for query in CATALOGUE] == before
    granted = """SELECT role, privilege, has_table_privilege(role, 'mai.imagen_usage', privilege)
        FROM unnest(array['anon', 'authenticated', 'service_role']) AS role,
             unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS privilege"""
    allowed = {(role, privilege) for role, privilege, has in await usage_database.fetch(granted) if has}
    assert allowed == {("service_role", right) for right in ("SELECT", "INSERT", "UPDATE")}
    assert before[2][0][0] is True
    # The view shows the rows to nobody else.
    seen = granted.replace("mai.imagen_usage", "mai.imagen_costs")
    assert {(role, right) for role, right, has in await usage_database.fetch(seen) if has} == {
        ("service_role", "SELECT")
    }


async def test_another_table_of_that_name_is_not_taken_for_ours(plain: Postgresql) -> None:
    """The migration says so instead of leaving a table that takes no rows; the other table stays as it was."""
    await plain.fetch("create database other")
    await plain.fetch(
        "create schema mai; create table mai.imagen_usage (id uuid primary key, created_at timestamptz);", "other"
    )
    with pytest.raises(UsageRefused, match="rename it") as caught:
        await apply_migrations(Database(plain.url("other"), named="--url"))
    assert caught.value.reason == "schema"
    assert len(await plain.fetch(COLUMNS, "other")) == 2


async def test_whoever_may_not_is_told(usage_database: UsageDatabase) -> None:
    """A role that makes no schema gets one message, not a traceback."""
    url = usage_database.server.url("postgres", user="authenticator")
    with pytest.raises(UsageRefused) as caught:
        await apply_migrations(Database(url, named="--url"))
    assert caught.value.reason == "permission"


def test_without_a_url_the_variable_is_asked_for() -> None:
    """The message names the option and the variable."""
    with pytest.raises(UsageRefused, match=r"without --url needs the environment variable IMAGEN_USAGE_DATABASE_URL"):
        choose_database(None, UsageSettings())


def test_migrations_ship_with_the_program_in_order() -> None:
    """Numbered SQL files beside the code."""
    assert list(read_migrations()) == [
        "0001_imagen_usage.sql",
        "0002_status_and_batch.sql",
        "0003_deployment_and_costs.sql",
        "0004_answers_of_judges.sql",
    ]
