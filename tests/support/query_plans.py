"""The plans of statements as a database makes them, at the moment when each runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine


@dataclass(frozen=True)
class Explained:
    """A statement and the steps of its plan."""

    statement: str
    steps: Sequence[str]

    def reads_whole(self, *tables: str) -> bool:
        """True where it reads every row of one of these tables."""
        names = "|".join(tables)
        whole = rf"Seq Scan on ({names})\b|SCAN (TABLE )?(main\.)?({names})\b|WindowAgg|MATERIALIZE"
        return any(re.search(whole, step) for step in self.steps)


@contextmanager
def explaining(engine: AsyncEngine | Engine) -> Iterator[list[Explained]]:
    """Collect the queries and updates of the block with their plans."""
    found: list[Explained] = []
    sync_engine = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    explain = "EXPLAIN QUERY PLAN " if sync_engine.dialect.name == "sqlite" else "EXPLAIN "

    def note(db: Connection, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:  # noqa: FBT001  as SQLAlchemy calls it
        if statement.lstrip().startswith(("SELECT", "UPDATE")) and not many:
            # SQLite has the step behind its numbers, PostgreSQL has it alone.
            rows = db.exec_driver_sql(explain + statement, values).all()
            found.append(Explained(statement, [str(row[-1]) for row in rows]))

    event.listen(sync_engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(sync_engine, "before_cursor_execute", note)
