"""A model's published input schema, fetched once and held against every job before money is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import httpx
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from tasks.backends.client.pages import NO_PAGE, fetch_page
from tasks.backends.image_counts import explain_several, is_count_name, is_image_count, parse_image_count
from tasks.backends.replicate.options import ModelReference
from tasks.core.display import current_display
from tasks.core.errors import ConfigError

LONGEST_REASON = 500
MOST_PROBLEMS = 20
# All that a published schema or a broken page can raise. A batch without the check is worth more than no batch.
_NO_SCHEMA = (*NO_PAGE, AttributeError, LookupError, SchemaError, TypeError)
MOST_REFERENCES = 10_000
"""Followed for one row. Each that names the next one twice doubles the work: forty of them would take for ever."""
# A published pattern can take longer than anybody waits (catastrophic backtracking), so the service checks it alone.
_Validator = extend(Draft202012Validator, {"pattern": None, "patternProperties": None})
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "format", "nullable", "x-order"})
"""Keywords that refuse nothing (the validator checks no formats)."""
_BY_NAME = frozenset({"type", "properties", "required"}) | _ANNOTATIONS
"""Keywords of an input schema that looks at each input by itself."""
_FREE_TYPES: Mapping[type, str] = {str: "string", int: "integer"}
_MOST_SHAPES = 100
"""Kinds of rows that are remembered."""


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
        self._counts = {name: found for name, found in properties.items() if is_image_count(name, found)}
        """Inputs that say how many images are made."""
        # Cog marks a model that shows its progress, such as ControlNet demos, with this array type.
        self.lists_frames = isinstance(output, dict) and output.get("x-cog-array-type") == "iterator"
        """The model's outputs are frames of one image on its way; the last one is the image."""
        # An enum stands as a reference to its own component. References to anywhere else are not followed.
        # An empty registry: a reference to a web address in somebody's schema must not be fetched.
        bounded = extend(_Validator, {name: self._follow(name) for name in ("$ref", "$dynamicRef")})
        self._validator = bounded({**schema, "components": components}, registry=Registry())
        self._references_left = 0
        self._free_names = _find_free_names(schema)
        self._valid_shapes: set[Any] = set()

    def takes_any(self, name: str, value: object) -> bool:
        """True where every value of this one's type is valid under this name, whatever the others are."""
        return name not in self._counts and (name, type(value)) in self._free_names

    def problems(self, values: Mapping[str, Any]) -> list[str]:
        """List the inputs that the model would refuse, as `name: reason`; empty where its schema cannot be followed."""
        unknown = [
            f"{name}: the model has no such input; take it away with backend_opts: {{{name}: null}}"
            for name in values
            if name not in self.names
        ]
        return self._find_several(values) + unknown + self._find_invalid(values)

    def _find_several(self, values: Mapping[str, Any]) -> list[str]:
        """List the inputs that make more than one image, or may: all of them would be billed."""
        found = []
        for name, described in self._counts.items():
            if name in values:
                # Names that are known for it are told of where no schema is at hand too.
                found += [] if is_count_name(name) else explain_several(values, names={name})
            elif (default := parse_image_count(described.get("default"))) is not None and default > 1:
                found.append(_explain_unsent(name, f"makes {default}"))
            # Without a default nobody knows how many; with a maximum of one nobody needs to.
            elif default is None and (most := parse_image_count(described.get("maximum"))) is not None and most > 1:
                found.append(_explain_unsent(name, f"may make {most}"))
        return found

    def _follow(self, name: str) -> Callable[..., Iterator[ValidationError]]:
        """The keyword of a reference, which gives up after `MOST_REFERENCES` of them."""
        follow = Draft202012Validator.VALIDATORS[name]

        def count(*arguments: Any) -> Iterator[ValidationError]:
            self._references_left -= 1
            if self._references_left < 0:
                raise LookupError("the schema refers to itself again and again")
            yield from follow(*arguments) or ()

        return count

    def _find_invalid(self, values: Mapping[str, Any]) -> list[str]:
        # Rows mostly differ in prompt and seed alone, and the validator costs more than all else in their plan.
        shape = tuple(
            (name, type(value), None if (name, type(value)) in self._free_names else value)
            for name, value in values.items()
        )
        try:
            if shape in self._valid_shapes:
                return []
        except TypeError:  # a list among the values
            return self._validate(values)
        problems = self._validate(values)
        if not problems and len(self._valid_shapes) < _MOST_SHAPES:
            self._valid_shapes.add(shape)
        return problems

    def _validate(self, values: Mapping[str, Any]) -> list[str]:
        self._references_left = MOST_REFERENCES
        try:
            return [
                f"{error.path[0] if error.path else 'input'}: {error.message[:LONGEST_REASON]}"
                # The bound keeps a row with hundreds of mistakes readable.
                for error in islice(self._validator.iter_errors(dict(values)), MOST_PROBLEMS)
            ]
        except (RecursionError, Unresolvable, ValueError, TypeError, LookupError, AttributeError):
            # A schema that refers to itself or to elsewhere is as good as none: the service checks the input itself.
            return []


def _find_free_names(schema: Mapping[str, Any]) -> frozenset[tuple[str, type]]:
    """Inputs of which every value of a type is valid, whatever the others are; none where inputs depend on each other."""
    if not _BY_NAME.issuperset(schema):
        return frozenset()
    return frozenset(
        (name, kind)
        for name, found in schema["properties"].items()
        for kind, word in _FREE_TYPES.items()
        if isinstance(found, dict) and found.get("type") == word and (_ANNOTATIONS | {"type"}).issuperset(found)
    )


def _explain_unsent(name: str, makes: str) -> str:
    return f"{name}: the model {makes} images where it is not sent; add backend_opts: {{{name}: 1}}"


def fetch_schema(model: ModelReference, *, base: str, token: str, token_env: str) -> InputSchema | None:
    """Ask the service for the model's schema; None when it publishes none or cannot be asked now. Free.

    Raises:
        ConfigError: The token is not accepted, there is no such model or version, or the model needs a version.
    """
    url = f"{base}/v1/models/{model.name}"
    if model.version is not None:
        url += f"/versions/{model.version}"
    try:
        status, page = fetch_page(url, {"Authorization": f"Bearer {token}"})
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise ConfigError(f"Replicate does not accept the token in {token_env}")
        if status == httpx.codes.NOT_FOUND:
            raise ConfigError(f"model: Replicate knows no model {model}")
        version = page if model.version is not None else page["latest_version"]
        # Replicate answers 404 to a create by name of a community model (captured), and that would fail each job by
        # itself.
        if model.version is None and page.get("is_official") is False:
            raise ConfigError(f"model: {model} is a community model, which needs its version: {model}:{version['id']}")
        return InputSchema(version["openapi_schema"])
    except _NO_SCHEMA as exc:
        current_display.get().warn(
            f"{model}: its input schema cannot be read ({type(exc).__name__}); rows are not held against it"
        )
        return None
