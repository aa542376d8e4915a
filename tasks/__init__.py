"""The rooms of a batch in reading order; CONTRIBUTING.md has the order in which they import each other.

`core`           the nouns, errors and settings, and the small tools that every room uses
`manifest`       step 1: rows become prompts
`plan`           step 2: prompts become jobs
`ledger`         step 3: the one record of truth
`backends`       step 4: image services
`generate`       step 4: jobs become images
`store`          step 5: bytes become files
`metadata`       step 6: the ledger becomes tables
`usage`          step 7: cost rows
`report`         step 7: what people see
`runs`           one run, from request to summary
`orchestration`  everything that imports Prefect

Nothing here imports `flows`.
"""
