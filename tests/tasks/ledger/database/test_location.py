"""Where a ledger is: found from the folder alone, told clearly when it cannot be used, and never with a password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.configuration.trust import TRUST_VARIABLE
from tasks.core.database import check_database_url, hide_password
from tasks.core.errors import ConfigError, ImagenError, InputError
from tasks.core.paths import LOCK_NAME
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.location import (
    PostgresqlSchema,
    SqliteFile,
    find_ledger,
    locate_ledger,
    make_schema_name,
    read_pointer,
    require_ledger,
)
from tasks.ledger.queries import count_jobs
from tasks.ledger.runs import RunStart, begin_run
from tests.support.factories import START_US, make_job, plan_jobs
from tests.support.services.postgresql import PASSWORD, Postgresql
from tests.support.services.processes import free_port
from tests.tasks.ledger.conftest import begin_on

BAD_URLS = (
    "ledger.db",
    "mysql://u@h/d",
    "postgresql://h",
    "postgresql:///d",
    "postgresql://u@h:x/d",
    "postgresql://u@h:0/d",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An output folder of no batch yet."""
    path: Path = tmp_path / "Nightly assets"
    path.mkdir()
    return path


def schema_at(folder: Path, url: str) -> PostgresqlSchema:
    """A new batch's ledger at this URL."""
    return PostgresqlSchema(out=folder, url=url, schema=make_schema_name(folder))


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_url_is_named_without_its_text(url: str, tmp_path: Path) -> None:
    """File, line and setting, and the form that is wanted."""
    path = tmp_path / "imagen.yaml"
    path.write_text(f"output: {{}}\nledger: {url}\n")
    with pytest.raises(ConfigError, match=r"imagen\.yaml:2: ledger: .*postgresql://user@host:port/database"):
        load_settings(path)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_every_usual_spelling_is_taken(scheme: str) -> None:
    """SQLAlchemy's form and libpq's lead to the same place."""
    assert check_database_url(f"{scheme}://me@db:5433/imagen?sslmode=require") == (
        "postgresql://me@db:5433/imagen?sslmode=require"
    )


def test_a_password_is_in_nothing_that_is_kept_or_shown(tmp_path: Path) -> None:
    """Neither in what a run records of its settings nor in what a log would print of them."""
    path = tmp_path / "imagen.yaml"
    path.write_text("ledger: postgresql://me:hunter2@db/imagen\n")
    settings = load_settings(path)
    assert settings.ledger_url == "postgresql://me:hunter2@db/imagen"
    kept = settings.model_dump_json()
    assert "hunter2" not in kept + repr(settings)
    assert Settings.model_validate_json(kept).ledger_url == "postgresql://me@db/imagen"
    assert hide_password("postgresql://me:a@b:c@[::1]:5432/d") == "postgresql://me@[::1]:5432/d"
    path.write_text("ledger: postgresql://me@db/imagen?password=hunter2\n")
    with pytest.raises(ConfigError, match="PGPASSWORD") as caught:
        load_settings(path)
    assert "hunter2" not in str(caught.value)


async def test_a_new_batch_leaves_the_way_to_its_ledger(
    folder: Path, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pointer has URL and schema, no password; with that from the environment the folder is enough."""
    place = locate_ledger(folder, postgresql.url())
    assert isinstance(place, PostgresqlSchema)
    async with open_ledger(place, create=True) as engine:
        await plan_jobs(engine, [make_job()])
    text = (folder / "ledger.json").read_text()
    assert PASSWORD not in text
    assert json.loads(text) == {"url": hide_password(postgresql.url()), "schema": place.schema}
    assert place.schema.startswith("imagen_nightly_assets_")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    async with open_ledger(folder) as engine:
        assert (await count_jobs(engine)).planned == 1


async def test_batches_of_one_database_do_not_meet(tmp_path: Path, server: Postgresql) -> None:
    """Folders of the same name on two machines have ledgers of their own."""
    for name in ("a/night", "b/night"):
        (tmp_path / name).mkdir(parents=True)
        async with open_ledger(schema_at(tmp_path / name, server.url()), create=True) as engine:
            assert (await count_jobs(engine)).total == 0
            await plan_jobs(engine, [make_job()])


def test_a_batch_keeps_the_ledger_that_it_began_with(folder: Path, server: Postgresql) -> None:
    """Another setting is refused with both places; the same database by another user, or no setting, is fine."""
    begin_on(server, folder)
    known = read_pointer(folder)
    assert known is not None
    assert find_ledger(folder) == known
    other_user = server.url(user="other", password="x")
    assert find_ledger(folder, other_user) == PostgresqlSchema(out=folder, url=other_user, schema=known.schema)
    with pytest.raises(ConfigError, match=f"elsewhere/db.*{server.port}/postgres"):
        find_ledger(folder, "postgresql://elsewhere/db")


def write_foreign_pointer(folder: Path, url: str = "postgresql://evil.example/db") -> None:
    """A pointer that somebody else made."""
    (folder / "ledger.json").write_text(json.dumps({"url": url, "schema": "imagen_x"}))


def test_a_strangers_server_gets_nothing(folder: Path) -> None:
    """A pointer to a server that this user has never named is refused before anything is connected."""
    write_foreign_pointer(folder)
    with pytest.raises(ConfigError, match=r"evil\.example.*nothing was sent.*--trust-ledger"):
        find_ledger(folder)


def test_a_server_of_the_users_is_remembered(folder: Path) -> None:
    """Named once in a configuration, it needs no configuration any more."""
    write_foreign_pointer(folder, "postgresql://db.example/ledgers")
    assert isinstance(find_ledger(folder, "postgresql://me@db.example/ledgers"), PostgresqlSchema)
    assert isinstance(find_ledger(folder), PostgresqlSchema)
    write_foreign_pointer(folder, "postgresql://db.example/other")
    with pytest.raises(ConfigError, match="other"):
        find_ledger(folder)


def test_a_trusted_server_is_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user says so once, for this database."""
    write_foreign_pointer(folder)
    monkeypatch.setenv(TRUST_VARIABLE, "true")
    assert isinstance(find_ledger(folder), PostgresqlSchema)
    monkeypatch.delenv(TRUST_VARIABLE)
    assert isinstance(find_ledger(folder), PostgresqlSchema)


def test_a_sqlite_batch_is_not_begun_again_on_postgresql(folder: Path) -> None:
    """What is in the folder's own ledger would be paid for again."""
    (folder / "ledger.db").touch()
    with pytest.raises(ConfigError, match=r"ledger\.db"):
        locate_ledger(folder, "postgresql://db/imagen")
    assert locate_ledger(folder, None) == SqliteFile(out=folder)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"url": "postgresql://h/d"}', '{"url": "postgresql://h/d", "schema": "a; b"}']
)
def test_a_broken_pointer_is_named(folder: Path, text: str) -> None:
    """A message, and no new ledger in its place."""
    (folder / "ledger.json").write_text(text)
    with pytest.raises(InputError, match=r"ledger\.json"):
        find_ledger(folder)


async def refusal(place: PostgresqlSchema) -> str:
    """Why a new ledger cannot be made there; never with a password, and nothing is left in the folder."""
    with pytest.raises(ConfigError) as caught:
        async with open_ledger(place, create=True):
            pass
    assert (PASSWORD in str(caught.value), caught.value.exit_code) == (False, 2)
    assert "\n" not in str(caught.value)
    assert not list(place.out.iterdir())
    return str(caught.value)


async def test_a_server_that_is_not_there_is_named(folder: Path) -> None:
    """Where it was looked for, and at once: before a run nothing is lost by stopping."""
    port = free_port()
    url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
    assert f"127.0.0.1:{port}/postgres cannot be reached" in await refusal(schema_at(folder, url))


async def test_a_wrong_password_is_named(folder: Path, postgresql: Postgresql, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the places where the right one is looked for; a missing one likewise."""
    wrong = await refusal(schema_at(folder, postgresql.url(password="wrong")))
    missing = await refusal(schema_at(folder, hide_password(postgresql.url())))
    monkeypatch.setenv("PGPASSWORD", "wrong as well")
    again = await refusal(schema_at(folder, hide_password(postgresql.url())))
    assert all("PGPASSWORD or ~/.pgpass" in words for words in (wrong, missing, again))
    assert "wrong as well" not in again


async def test_a_missing_database_is_named(folder: Path, postgresql: Postgresql) -> None:
    """With how to make it."""
    assert "createdb nowhere" in await refusal(schema_at(folder, postgresql.url("nowhere")))


async def test_a_user_who_may_not_make_a_schema_is_told_so(folder: Path, postgresql: Postgresql) -> None:
    """With the grant that is missing."""
    await postgresql.fetch(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}';")
    words = await refusal(schema_at(folder, postgresql.url(user="guest")))
    assert "refuses (permission denied for database postgres): its user needs CREATE on the database" in words


async def test_a_ledger_that_is_gone_is_not_begun_anew(folder: Path, server: Postgresql) -> None:
    """A pointer to nothing may be a restored backup or the wrong server: going on would pay for everything again."""
    place = schema_at(folder, server.url())
    async with open_ledger(place, create=True):
        pass
    await server.fetch(f"DROP SCHEMA {place.schema} CASCADE;")
    with pytest.raises(InputError, match=f"no ledger {place.schema} any more"):
        async with open_ledger(place, create=True):
            pass


async def test_a_newer_ledger_is_refused(folder: Path, server: Postgresql) -> None:
    """An old program does not write into tables that it does not know."""
    place = schema_at(folder, server.url())
    async with open_ledger(place, create=True):
        pass
    await server.fetch(f"UPDATE {place.schema}.ledger_version SET version = 99;")
    with pytest.raises(InputError, match="version 99"):
        async with open_ledger(place):
            pass


async def test_a_refusal_in_the_middle_stops_with_one_line(folder: Path, server: Postgresql) -> None:
    """A table that is gone is no internal error; the run can be resumed when it is mended."""
    place = schema_at(folder, server.url())
    start = RunStart(manifest=None, salt=None, budget_micros=None, settings="{}", caller="x")

    async def lose_a_table() -> None:
        async with open_ledger(place, create=True) as engine:
            await server.fetch(f"DROP TABLE {place.schema}.runs;")
            await begin_run(engine, start, now_us=START_US)

    with pytest.raises(ImagenError) as caught:
        await lose_a_table()
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (3, False)
    assert '"runs" does not exist' in str(caught.value)


@pytest.mark.parametrize("name", ["why?", "a#1", "100%", "a%20b", "?mode=memory"])
async def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    """Its path is no URL: the ledger lies in this very folder, whatever its name would mean in one."""
    (tmp_path / name).mkdir()
    async with open_ledger(tmp_path / name, create=True) as engine:
        await plan_jobs(engine, [make_job(0)])
    async with open_ledger(tmp_path / name) as engine:
        assert (await count_jobs(engine)).total == 1
    assert (tmp_path / name / "ledger.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_that_was_killed_at_once_is_told(tmp_path: Path) -> None:
    """Its lock is all that it has left: the folder is no stranger's, nothing was paid, and the message says what to do."""
    (tmp_path / LOCK_NAME).touch()
    with pytest.raises(InputError, match="nothing was paid here") as caught:
        require_ledger(tmp_path)
    assert "run its manifest again" in str(caught.value)
