"""Records that batches on one account share: one schema, one place, one lock order.

Its place is `accounts.db` in the user's state folder, or the schema `imagen_accounts` of the database that holds the
ledger, so every batch of a machine, or of a PostgreSQL database, meets there. An account is a service's address and the
hash of its key. `place` opens the table of `predictions`, which says which batch a prediction belongs to.

Lock order: a transaction here never runs inside one of the ledger, and takes its rows in the order of their keys.
"""
