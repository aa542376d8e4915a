"""Blind comparisons of two images, as people answered them.

`answers` writes and reads them. They stand in the ledger of the first batch.
"""
