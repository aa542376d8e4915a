"""The ledger as a SQLite file or a PostgreSQL schema."""
