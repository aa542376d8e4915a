"""Step 6: `metadata.parquet` and the other exports of the ledger."""
