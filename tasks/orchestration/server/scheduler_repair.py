"""Prefect's scheduler beside SQLAlchemy 2.1, which Prefect 3.8.8 admits and was not made for.

Prefect inserts scheduled runs with a key `state` that is no column. SQLAlchemy 2.0 passed over it; 2.1 asks the model
what to do with it and fails where it does not say ("please supply a bulk_dml decorated function"), so that no
schedule ever fires (prefect 3.8.8 with SQLAlchemy 2.1.9, seen 2026-11). Goes when Prefect says it itself.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from prefect.server.database.orm_models import FlowRun

KEY = "state"


def repair_scheduler() -> None:
    """Let bulk inserts of flow runs pass over their state, which Prefect inserts afterwards; in this process."""
    hybrid = vars(FlowRun).get(KEY)
    # SQLAlchemy 2.0 has no such setter, and needs none.
    if hybrid is not None and getattr(hybrid, "bulk_dml_setter", pass_over) is None:
        hybrid.inplace.bulk_dml(pass_over)


def pass_over(_model: type[Any], _values: MutableMapping[str, Any], _state: Any) -> None:
    """Leave the values as they are."""
