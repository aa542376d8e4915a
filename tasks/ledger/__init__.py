"""The ledger: the one record of a batch. Metadata, usage rows and summaries are projections of it.

`database` opens and migrates it; `lock` allows one run at a time and `leases` several workers; `runs` records runs;
`jobs` writes the plan, `open_jobs` says what is left, `journal` records states, which `change_writer` commits in groups of
`changes`; `job_rows` turns jobs into rows and back; `queries`,
`usage` and `lookup` read.
"""
