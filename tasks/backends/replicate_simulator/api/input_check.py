"""Reasons to refuse a create: unknown keys of its body, and inputs that the model's schema does not allow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.backends.replicate_simulator.api.problems import InvalidField, Problem, build_invalid_input
from tasks.backends.replicate_simulator.models import Field, Model

BODY_KEYS = {"input", "webhook", "webhook_events_filter", "webhook_completed", "stream"}
PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def parse_body(data: bytes, *, needs_version: bool) -> dict[str, Any]:
    """The body of a create.

    Raises:
        Problem: 400 for what is not a JSON object, 422 for keys that are missing or unknown. The API looks at the
            body's own keys only, never at unknown ones inside `input` (changelog, 2024-05-01).
    """
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Problem(400, "The request body is not a JSON object.")
    required = {"input", "version"} if needs_version else {"input"}
    wrong = [InvalidField("required", "", f"{name} is required") for name in sorted(required - body.keys())]
    wrong += [
        InvalidField("additional_property_not_allowed", "", f"Additional property {name} is not allowed")
        for name in body
        if name not in BODY_KEYS | required
    ]
    if not isinstance(body.get("input", {}), dict):
        wrong.append(_describe_type("input", "object", body["input"]))
    if wrong:
        raise build_invalid_input(wrong)
    return body


def check_input(model: Model, values: Mapping[str, Any]) -> None:
    """Pass what the model takes; inputs that it does not know are let through.

    Raises:
        Problem: 422, with everything that is wrong.
    """
    missing = [name for name, field in model.fields.items() if field.required and name not in values]
    wrong = [InvalidField("required", "input", f"{name} is required") for name in missing]
    for name, value in values.items():
        if name in model.fields:
            wrong += _find_wrong(name, model.fields[name], value)
    if wrong:
        raise build_invalid_input(wrong)


def _find_wrong(name: str, field: Field, value: Any) -> Iterator[InvalidField]:
    place = f"input.{name}"
    if not _fits(value, field.kind):
        yield _describe_type(place, field.kind, value)
    elif field.is_address and not str(value).startswith(("http://", "https://", "data:")):
        yield InvalidField("format", place, "Does not match format 'uri'")
    elif field.choices and value not in field.choices:
        allowed = ", ".join(f'"{choice}"' for choice in field.choices)
        yield InvalidField("enum", place, f"{name} must be one of the following: {allowed}")
    elif field.minimum is not None and value < field.minimum:
        yield InvalidField("number_gte", place, f"Must be greater than or equal to {field.minimum:g}")
    elif field.maximum is not None and value > field.maximum:
        yield InvalidField("number_lte", place, f"Must be less than or equal to {field.maximum:g}")


def _fits(value: Any, kind: str) -> bool:
    return isinstance(value, PYTHON_TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _describe_type(place: str, expected: str, value: Any) -> InvalidField:
    given = JSON_TYPES.get(type(value), "null")
    return InvalidField("invalid_type", place, f"Invalid type. Expected: {expected}, given: {given}")
