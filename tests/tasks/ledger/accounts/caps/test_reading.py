from __future__ import annotations

from sqlalchemy import create_engine, text
from sqlalchemy.dialects import sqlite

from tasks.ledger.accounts.caps.reading import build_pending_query
from tasks.ledger.accounts.predictions import SCHEMA, metadata


def test_caps_are_read_without_what_is_settled() -> None:
    """A week has millions of settled charges, and every paid call waits while they are read: the index skips them."""
    engine = create_engine("sqlite://").execution_options(schema_translate_map={SCHEMA: None})
    metadata.create_all(engine)
    options = {"literal_binds": True, "render_postcompile": True}
    query = build_pending_query(0).compile(dialect=sqlite.dialect(), compile_kwargs=options)
    with engine.connect() as db:
        plan = db.execute(text(f"EXPLAIN QUERY PLAN {query}".replace(f'"{SCHEMA}".', "").replace(f"{SCHEMA}.", "")))
        assert "USING INDEX charges_state (state=? AND at_us>?)" in " ".join(str(row.detail) for row in plan)
