"""The spending of all batches, by day and month, counted before it is spent.

`schema` has the tables, `book` adds up one transaction's changes, `charges` makes attempts into such changes, `reading`
lists caps with what is left, `recovery` settles what a killed run has left.
"""
