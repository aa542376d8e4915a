"""What many worker processes of one batch share: limits and news, kept in the database of the batch's ledger.

`schema` the tables, `start` a run's beginning, `rate` the account's creates, `budget` the cap, `beat` how workers and
the run that sent them hear of each other, `shard` a worker's way through its part of the batch, `claims` the jobs that
it has in hand, `dask_worker` what Dask's workers load. They need PostgreSQL; a run in one process keeps the same limits
in memory (`tasks.generate.limits`, `tasks.generate.budget`, `tasks.generate.stop`).
"""
