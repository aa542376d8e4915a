"""The table `mai.imagen_usage` in PostgreSQL: SQL files that ship with the program, and applying them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from sqlalchemy import select, text

from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import UsageRefused
from tasks.usage.sinks.postgres import Database
from tasks.usage.sinks.refusals import read_variable
from tasks.usage.sinks.sql import imagen_usage

_COLUMNS = (
    "SELECT column_name FROM information_schema.columns WHERE table_schema = 'mai' AND table_name = 'imagen_usage'"
)
EXPOSE = "on Supabase, add `mai` to the exposed schemas (Project Settings, Data API), or the REST API does not show the table"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """The result of applying the migrations."""

    place: str
    files: tuple[str, ...]
    """Names of the migrations, in the order in which they were applied."""
    created: bool
    """True if the table was made; else it was there already."""
    added: tuple[str, ...] = ()
    """Columns that a table of an older version got."""

    def lines(self) -> list[str]:
        """The report for people."""
        did = "made mai.imagen_usage" if self.created else "mai.imagen_usage is there already; nothing changed"
        if self.added:
            did = f"added {', '.join(self.added)} to mai.imagen_usage"
        return [f"{self.place}: {did} ({', '.join(self.files)})", EXPOSE]


def read_migrations() -> dict[str, str]:
    """The text of every migration by its name, in order. Each may be applied again and then changes nothing."""
    found = sorted((files("tasks.usage") / "migrations").iterdir(), key=lambda file: file.name)
    # Caches and editors leave files of their own beside them.
    return {file.name: file.read_text(encoding="utf-8") for file in found if file.name.endswith(".sql")}


def choose_database(url: str | None, settings: UsageSettings) -> Database:
    """The database to migrate: the given one, else the one that the settings lead to.

    Raises:
        UsageRefused: There is none, or its URL cannot be used.
    """
    # A URL that is named beats the settings: `imagen usage migrate --url` is for another database.
    if url is not None:
        return Database(url, named="--url")
    name = settings.database_url_env
    found = read_variable(name, "usage.database_url_env", needed_by="`imagen usage migrate` without --url")
    return Database(found, named=name)


async def apply_migrations(database: Database) -> MigrationReport:
    """Apply every migration, all of them or none.

    Raises:
        UsageError: The database cannot be reached, does not allow it, or has another table of that name.
    """
    scripts = read_migrations()
    try:
        with database.explained():
            async with database.engine() as engine, engine.begin() as db:
                before = set((await db.execute(text(_COLUMNS))).scalars())
                driver = (await db.get_raw_connection()).driver_connection
                for script in scripts.values():
                    # A script of several statements goes past SQLAlchemy, which prepares one at a time.
                    await driver.execute(script)  # type: ignore[union-attr]  # it is connected
                # Another table of that name would pass every CREATE IF NOT EXISTS before it.
                await db.execute(select(imagen_usage).limit(0))
    except UsageRefused as exc:
        if exc.reason != "schema":
            raise
        raise UsageRefused(
            "schema",
            f"{database.place.name}: mai.imagen_usage is there, but is not imagen's; rename it and migrate again",
        ) from exc
    added = tuple(column.name for column in imagen_usage.columns if before and column.name not in before)
    return MigrationReport(place=database.place.name, files=tuple(scripts), created=not before, added=added)
