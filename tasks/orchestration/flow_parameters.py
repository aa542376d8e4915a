"""A function of one pydantic model, called and described by the model's fields.

Prefect reads a flow's parameters from its signature and their descriptions from its docstring. Both come from the
model here, so a parameter stands in one place and the form in Prefect's UI stays flat.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import Parameter, Signature
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")


def take_fields(
    model: type[Model],
) -> Callable[[Callable[[Model], Awaitable[Result]]], Callable[..., Awaitable[Result]]]:
    """Let an asynchronous function of a `model` be called with the model's fields by name.

    The result raises pydantic's `ValidationError` for values that the model refuses.
    """

    def decorate(function: Callable[[Model], Awaitable[Result]]) -> Callable[..., Awaitable[Result]]:
        @wraps(function)
        async def by_fields(**values: Any) -> Result:
            return await function(model.model_validate(values))

        # Prefect reads the signature of what it is given, and this is the only way to show it the fields.
        vars(by_fields)["__signature__"] = _build_signature(model)
        by_fields.__doc__ = _build_docstring(model, inspect.getdoc(function) or "")
        return by_fields

    return decorate


def _build_signature(model: type[BaseModel]) -> Signature:
    return Signature(
        [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=Parameter.empty if field.is_required() else field.get_default(),
                # A field's bounds have to stay in the annotation: Prefect's form shows them, and validates by them.
                annotation=Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation,
            )
            for name, field in model.model_fields.items()
        ]
    )


def _build_docstring(model: type[BaseModel], text: str) -> str:
    """The function's own text, and the fields in the place that Prefect reads parameters' descriptions from."""
    described = [f"    {name}: {field.description}" for name, field in model.model_fields.items()]
    return "\n".join([text, "", "Args:", *described])
