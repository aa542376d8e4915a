"""The stages of a batch and the machinery under them, in reading order.

1. `records` the nouns, `errors` the error tree, `settings` the configuration
2. `manifest` rows to prompts, `identity` and `plan` prompts to jobs
3. `ledger` the one record of truth
4. `backends` image services, `limits` and `retry` around them, `generate` one job's way, `generate_shard` the task
5. `store` bytes to files
6. `metadata` the Parquet table
7. `usage`, `summary` and `progress`: what people are told

Nothing here imports `flows`; only `generate_shard` and `artifacts` import prefect.
"""
