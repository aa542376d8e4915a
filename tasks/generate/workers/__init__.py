"""Many worker processes on one batch: their shared limits and news, in the database of the batch's ledger.

They need PostgreSQL. A run in one process keeps the same limits in memory (`tasks.generate.limits`,
`tasks.generate.budget`, `tasks.generate.stop`).

- `schema`: the tables; `start`: a run's first rows in them.
- `shared_budget`: the batch's cap. (`tasks.generate.accounts` has what batches share too.)
- `heartbeat`: how workers and the run that sent them learn of each other.
- `worker`: one worker's shard; `claims`: the jobs that it holds; `dask_preload`: set-up of Dask's worker processes.
"""
