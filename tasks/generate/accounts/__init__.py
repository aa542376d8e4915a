"""The things that batches on one account share while they run: the caps on what is spent, and the pace."""
