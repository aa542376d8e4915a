"""Step 7: usage (cost) rows, one for each picture that was made.

`rows` what is pushed, `caller` on whose behalf, `sinks` where to, `push` from the ledger to the sink,
`report` what people read.
"""
