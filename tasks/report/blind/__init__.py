"""Blind comparison: the same rows of two batches or models side by side, and nothing that tells which is which.

`pairs` finds the pairs, `server` serves the page of `app`, `answering` writes what was answered, `results` counts it
with the `rating` of each model, and `report` shows that as text.
"""
