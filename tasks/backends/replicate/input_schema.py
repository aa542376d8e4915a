"""What a model takes: its published input schema, fetched once, held against every job before money is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from jsonschema import Draft202012Validator, SchemaError

from tasks.backends.replicate.options import ModelReference
from tasks.core.errors import ConfigError

TIMEOUT_S = 15.0


class InputSchema:
    """The input schema of one model."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take the model's OpenAPI document.

        Raises:
            LookupError, TypeError, SchemaError: It describes no input.
        """
        components: Mapping[str, Any] = document["components"]
        schema = components["schemas"]["Input"]
        Draft202012Validator.check_schema(schema)
        properties: Mapping[str, Any] = schema["properties"]
        self.names = frozenset(properties)
        self.defaults = {
            name: found["default"]
            for name, found in properties.items()
            if isinstance(found, dict) and "default" in found
        }
        output = components["schemas"].get("Output")
        self.lists_frames = isinstance(output, dict) and output.get("x-cog-array-type") == "iterator"
        """The model's outputs are frames of one image on its way; the last one is the image."""
        # An enum stands as a reference to its own component.
        self._validator = Draft202012Validator({**schema, "components": components})

    def problems(self, values: Mapping[str, Any]) -> list[str]:
        """What the model would refuse, as `name: reason`; empty when it takes the input."""
        unknown = [
            f"{name}: the model has no such input; take it away with backend_opts: {{{name}: null}}"
            for name in values
            if name not in self.names
        ]
        invalid = [
            f"{error.path[0] if error.path else 'input'}: {error.message}"
            for error in self._validator.iter_errors(dict(values))
        ]
        return unknown + invalid


def fetch_schema(model: ModelReference, *, base: str, token: str, token_env: str) -> InputSchema | None:
    """Ask the service for the model's schema; None when it publishes none or cannot be asked now. Free.

    Raises:
        ConfigError: The token is not accepted, there is no such model or version, or the model needs a version.
    """
    url = f"{base}/v1/models/{model.name}"
    if model.version is not None:
        url += f"/versions/{model.version}"
    try:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S)
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise ConfigError(f"Replicate does not accept the token in {token_env}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ConfigError(f"model: Replicate knows no model {model}")
        answer.raise_for_status()
        page = answer.json()
        version = page if model.version is not None else page["latest_version"]
        if model.version is None and page.get("is_official") is False:
            raise ConfigError(f"model: {model} is a community model, which needs its version: {model}:{version['id']}")
        return InputSchema(version["openapi_schema"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError, SchemaError):
        return None
