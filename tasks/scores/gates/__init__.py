"""Gates of a run: the best of each row is kept, what is rejected is made again, as images land.

The ledger decides alone: each step looks at the jobs and scores of one row and can be repeated at will, so a run that is
killed goes on where it was. `rule` says what is wanted, `pools` finds the jobs that compete, `gate` carries it out.
"""
