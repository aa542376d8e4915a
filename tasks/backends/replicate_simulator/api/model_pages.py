"""A model's page as JSON, with the OpenAPI schema of its input and output."""

from __future__ import annotations

from functools import cache
from typing import Any

from tasks.backends.replicate_simulator.models import Field, Model

PUBLISHED_AT = "2024-08-01T15:01:04.27526337Z"


@cache
def build_model_page(model: Model) -> dict[str, Any]:
    """The answer to a GET of the model."""
    return {
        "url": f"https://replicate.com/{model.slug}",
        "owner": model.owner,
        "name": model.name,
        "description": "simulated",
        "visibility": "public",
        "is_official": True,
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "cover_image_url": None,
        "run_count": 1,
        "default_example": None,
        "latest_version": build_version_page(model),
    }


@cache
def build_version_page(model: Model) -> dict[str, Any]:
    """The answer to a GET of the model's only version."""
    return {
        "id": model.version,
        "created_at": PUBLISHED_AT,
        "cog_version": "0.9.20",
        "openapi_schema": {
            "openapi": "3.0.2",
            "info": {"title": "Cog", "version": "0.1.0"},
            "components": {
                "schemas": {**_build_choices(model), "Input": _build_input(model), "Output": _build_output(model)}
            },
        },
    }


def _build_choices(model: Model) -> dict[str, Any]:
    """Inputs with choices are schemas of their own, which the input refers to."""
    return {
        name: {"type": field.kind, "enum": list(field.choices), "title": name, "description": "An enumeration."}
        for name, field in model.fields.items()
        if field.choices
    }


def _build_input(model: Model) -> dict[str, Any]:
    fields = enumerate(model.fields.items())
    return {
        "type": "object",
        "title": "Input",
        "required": [name for name, field in model.fields.items() if field.required],
        "properties": {name: _build_property(name, field, place) for place, (name, field) in fields},
    }


def _build_property(name: str, field: Field, place: int) -> dict[str, Any]:
    shape: dict[str, Any] = {"x-order": place, "description": name.replace("_", " ")}
    if field.choices:
        shape["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
    else:
        shape |= {"type": field.kind, "title": name.replace("_", " ").title()}
        shape |= {"format": "uri"} if field.is_address else {}
    optional = {"default": field.default, "minimum": field.minimum, "maximum": field.maximum}
    return shape | {key: value for key, value in optional.items() if value is not None}


def _build_output(model: Model) -> dict[str, Any]:
    address = {"type": "string", "format": "uri"}
    return (
        {"title": "Output", "type": "array", "items": address} if model.answers_list else {"title": "Output"} | address
    )
