"""What a model takes: its published input schema, fetched once, held against every job before money is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from tasks.backends.replicate.options import ModelReference
from tasks.errors import ConfigError

TIMEOUT_S = 15.0


class InputSchema:
    """The input schema of one model."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take the model's OpenAPI document."""
        components: Mapping[str, Any] = document.get("components", {})
        schema = components.get("schemas", {}).get("Input", {})
        self.names = frozenset(schema.get("properties", {}))
        # An enum stands as a reference to its own component.
        self._validator = Draft202012Validator({**schema, "components": components})

    def problems(self, values: Mapping[str, Any]) -> list[str]:
        """What the model would refuse, as `name: reason`; empty when it takes the input."""
        unknown = [f"{name}: the model has no such input" for name in values if name not in self.names]
        invalid = [
            f"{error.path[0] if error.path else 'input'}: {error.message}"
            for error in self._validator.iter_errors(dict(values))
        ]
        return unknown + invalid


def fetch_schema(model: ModelReference, *, base: str, token: str, token_env: str) -> InputSchema | None:
    """Ask the service for the model's schema; None when it publishes none or cannot be asked now. Free.

    Raises:
        ConfigError: The token is not accepted, or there is no such model.
    """
    url = f"{base}/v1/models/{model.name}"
    try:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S)
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise ConfigError(f"Replicate does not accept the token in {token_env}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ConfigError(f"model: Replicate knows no model {model.name!r}")
        answer.raise_for_status()
        document = (answer.json().get("latest_version") or {}).get("openapi_schema")
    except (httpx.HTTPError, ValueError):
        return None
    return InputSchema(document) if document else None
