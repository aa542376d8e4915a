"""A command of one dataclass, called and described by its fields: each option stands in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

Given = TypeVar("Given")


def take_fields(options: type[Given]) -> Callable[[Callable[[Given], None]], Callable[..., None]]:
    """Let typer call a command of a dataclass; the type of each field says which option it is."""

    def decorate(command: Callable[[Given], None]) -> Callable[..., None]:
        @wraps(command)
        def by_fields(**values: Any) -> None:
            command(options(**values))

        hints = get_type_hints(options, include_extras=True)
        # typer reads both: the signature for names and defaults, the annotations for types that are strings.
        vars(by_fields)["__signature__"] = Signature([_build_parameter(field, hints) for field in fields(options)])  # type: ignore[arg-type]
        by_fields.__annotations__ = hints
        return by_fields

    return decorate


def select_fields(given: object, names: Any) -> dict[str, Any]:
    """The values of those fields that bear one of these names."""
    return {name: getattr(given, name) for name in names if hasattr(given, name)}


def _build_parameter(field: Any, hints: dict[str, Any]) -> Parameter:
    default = Parameter.empty if field.default is MISSING else field.default
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])
