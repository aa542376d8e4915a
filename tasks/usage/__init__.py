"""Step 7: usage (cost) rows: one for each image, and one for each attempt that was billed, or may have been, without one.

`rows` what is pushed, `caller` on whose behalf, `push` from the ledger to the sink, `sinks/` where to, `migrate` the
table that they need; `query` what is asked for, `groups` rows added up, `report` what people read.
"""
