"""A batch in the forms that other programs take: tar shards, one Parquet file, CSV, JSONL, a dataset card.

Each is a projection of the ledger and of the images on disk, read in pages. `targets` decides what may be
written where, `images` which jobs have an image; the rest is one form each, and `export` chooses among them.
"""
