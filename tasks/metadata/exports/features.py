"""The columns as the `datasets` library names their types, in its two spellings: in a Parquet schema and in a card.

Source: `datasets` 5.2, features.py (`Features.to_dict`, `_to_yaml_list`), read 2026-11.
"""

from __future__ import annotations

from typing import Any

from tasks.metadata.columns import COLUMNS, Column

IMAGE = {"_type": "Image"}


def get_dtype(column: Column) -> str:
    """The column's type."""
    return "float64" if column.type == "double" else column.type


def build_feature(column: Column) -> dict[str, str]:
    """The column as the metadata of a Parquet schema has it."""
    return {"dtype": get_dtype(column), "_type": "Value"}


def build_sample_features(extensions: list[str]) -> list[dict[str, Any]]:
    """The fields of a sample in tar shards, as a card has them; instants are text there.

    Args:
        extensions: Of the images, without dots.
    """
    known = [{"name": column.name, "dtype": _get_json_type(column)} for column in COLUMNS]
    return [
        *({"name": extension, "dtype": "image"} for extension in extensions),
        {"name": "json", "struct": known},
        *({"name": name, "dtype": "string"} for name in ("txt", "__key__", "__url__")),
    ]


def _get_json_type(column: Column) -> str:
    return "string" if column.type.startswith("timestamp") else get_dtype(column)  # JSON has no instants
