"""The forms of an export by the names that users give them."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """What `imagen export --format` takes."""

    WEBDATASET = "webdataset"
    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    CARD = "card"
