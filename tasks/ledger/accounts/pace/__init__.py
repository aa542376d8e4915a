"""One pace for each account, over all batches that create on it.

`schema` has the tables, `fairness` says how many turns a batch may take now, `pauses` tells what the service asked for, `turns` takes them and slows everybody down.
"""
