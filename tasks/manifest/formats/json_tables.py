"""Tables inside of JSON: columns as data frames write them, and rows that are lists under a list of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import TypeIs

from tasks.manifest.header import may_be_header
from tasks.manifest.reading import ReadOptions


def read_table(whole: Mapping[str, Any], options: ReadOptions) -> Iterator[dict[str, Any]] | None:
    """The rows of an object that is a table as a whole; None where it is none.

    pandas writes `{"prompt": {"0": "a fox"}}`, or lists of values, or `columns` beside `data`; the API of Google's
    spreadsheets writes `values`, with the names in the first list.

    Raises:
        ValueError: It is a table, and its columns or rows do not have the same length.
    """
    names, rows = whole.get("columns"), whole.get("data")
    # `to_json(orient="split")` of pandas.
    if is_header(names, options) and _is_rows(rows):
        return _name_rows(names, rows)
    values = whole.get("values")
    if _is_rows(values) and len(values) > 1 and is_header(values[0], options):
        return _name_rows(values[0], values[1:])
    if not whole or not may_be_header(list(whole), options):
        return None
    # A list under a single name may as well be one row with a wrong value; only columns side by side are a table.
    if len(whole) > 1 and all(isinstance(column, list) for column in whole.values()):
        return _join_columns({name: dict(enumerate(column)) for name, column in whole.items()})
    if all(isinstance(column, dict) for column in whole.values()):
        first = next(column for name, column in whole.items() if may_be_header([name], options))
        # A workflow of ComfyUI is an object of objects under `prompt` as well.
        if all(value is None or isinstance(value, str) for value in first.values()):
            return _join_columns(whole)
    return None


def name_cells(names: Sequence[str], cells: Sequence[Any]) -> dict[str, Any]:
    """A row of a list of cells; cells at its end may be missing.

    Raises:
        ValueError: There are more cells than names.
    """
    if len(cells) > len(names):
        raise ValueError(f"has {len(cells)} cells, the first list names {len(names)} columns")
    return dict(zip(names, cells, strict=False))


def is_header(names: Any, options: ReadOptions) -> TypeIs[list[str]]:
    """True for a list of the names of columns, with one of prompts among them."""
    return isinstance(names, list) and all(isinstance(name, str) for name in names) and may_be_header(names, options)


def _is_rows(rows: Any) -> TypeIs[list[list[Any]]]:
    return isinstance(rows, list) and all(isinstance(row, list) for row in rows)


def _name_rows(names: list[str], rows: list[list[Any]]) -> Iterator[dict[str, Any]]:
    return (name_cells(names, row) for row in rows)


def _join_columns(columns: Mapping[str, Mapping[Any, Any]]) -> Iterator[dict[str, Any]]:
    # Columns of different lengths would pair a prompt with another row's settings.
    keys = list(next(iter(columns.values())))
    if other := next((name for name, column in columns.items() if list(column) != keys), None):
        raise ValueError(
            f"its columns have no common rows ({len(keys)} values, but {len(columns[other])} in {other!r})"
        )
    return ({name: column[key] for name, column in columns.items()} for key in keys)
