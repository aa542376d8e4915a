-- Prefect's database exists already; it wants this extension. The ledgers of batches have one of their own.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE DATABASE ledgers;
