"""Settings of the type `comfyui`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tasks.backends.client.options import BaseAddress
from tasks.core.configuration.sections import VariableName
from tasks.core.presets.workflows import unwrap_graph

DEFAULT_SERVER = "http://127.0.0.1:8188"
PREFIX = "filename_prefix"
"""The input by which a node that saves images is known."""
SHOWING = frozenset({"PreviewImage", "SaveImageWebsocket"})
"""Nodes that show an image and leave no file."""
TEXTS, NUMBERS = (
    frozenset({"prompt", "negative_prompt", "image", "mask"}),
    frozenset({"seed", "width", "height", "steps"}),
)
"""Columns by what they put into the workflow."""
COLUMNS = ("prompt", "negative_prompt", "seed", "width", "height", "steps", "image", "mask")
"""Columns of a manifest that `inputs` can lead to; every other name in it is one of `backend_opts`."""


@dataclass(frozen=True, slots=True)
class Place:
    """One input of one node."""

    node: str
    name: str

    def __str__(self) -> str:
        """As it stands in the settings."""
        return f"{self.node}.{self.name}"


def parse_place(text: str) -> Place | None:
    """`6.text` as a place; None where it is none."""
    node, point, name = text.partition(".")
    return Place(node, name) if node and point and name else None


def _list_one(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _list_places(value: Any) -> Any:
    # YAML reads `prompt: 6` as a number, and a place without its node's input as nothing.
    if not isinstance(value, str | list):
        raise ValueError(f"{value!r} is no input of a node; write its number and name, as 6.text")  # noqa: TRY004  pydantic reads ValueError
    return _list_one(value)


def _check_places(values: list[str]) -> list[str]:
    for value in values:
        if parse_place(value) is None:
            raise ValueError(f"{value!r} is no input of a node; write its number and name, as 6.text")
    return values


def _require_graph(value: Any) -> Any:
    # The configuration was read, and its workflow could not be: the text says why.
    if isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004  pydantic reads ValueError
    return unwrap_graph(value)


def _check_graph(graph: dict[str, Any]) -> dict[str, Any]:
    if not graph:
        raise ValueError("the workflow has no nodes")
    for number, node in graph.items():
        if not (isinstance(node, Mapping) and isinstance(node.get("class_type"), str)):
            raise ValueError(f"node {number!r} has no class_type; export the workflow with Workflow > Export (API)")  # noqa: TRY004  pydantic reads ValueError
        if not isinstance(node.get("inputs"), Mapping):
            raise ValueError(f"node {number!r} has no inputs")  # noqa: TRY004  likewise
    for number, name, source in _list_links(graph):
        # An export leaves out what is muted or bypassed, and keeps what leads to it.
        if source not in graph:
            raise ValueError(f"node {number!r}: its input {name} comes from node {source!r}, which is not there")
    if not any(PREFIX in node["inputs"] for node in graph.values()):
        raise ValueError("no node saves an image; add a SaveImage")
    return graph


def _list_links(graph: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Node, input, and the node that it comes from: a link is `[node, output]`."""
    for number, node in graph.items():
        for name, value in node["inputs"].items():
            match value:
                case [str(source), int()]:
                    yield number, name, source


def _to_texts(values: Any) -> Any:
    # In YAML a node's number is a number.
    return [str(value) if type(value) is int else value for value in values] if isinstance(values, list) else values


def _check_servers(values: list[str]) -> list[str]:
    # Twice the same server would get twice its share.
    return list(dict.fromkeys(value.rstrip("/") for value in values))


Places = Annotated[list[str], BeforeValidator(_list_places), AfterValidator(_check_places), Field(min_length=1)]


class ComfyOptions(BaseModel):
    """Settings of this type beyond the common keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    workflow: Annotated[dict[str, Any], BeforeValidator(_require_graph), AfterValidator(_check_graph)] = Field(
        description="file of the workflow, exported with Workflow > Export (API); or the graph itself"
    )
    inputs: dict[str, Places] = Field(
        description="where a row's values go: {prompt: 6.text, seed: 3.seed, width: 5.width, height: 5.height}"
    )
    servers: Annotated[
        list[BaseAddress], BeforeValidator(_list_one), AfterValidator(_check_servers), Field(min_length=1)
    ] = Field(default_factory=lambda: [DEFAULT_SERVER], description="addresses; jobs go to the least busy one")
    outputs: Annotated[list[str] | None, BeforeValidator(_to_texts)] = Field(
        None, description="numbers of the nodes whose images are taken; null: all that save some"
    )
    api_key_env: VariableName | None = Field(
        None, description="variable with a key for `Authorization: Bearer`, or with `Basic ...` for a login"
    )
    check_nodes: bool = Field(True, description="ask the servers before a run whether they have its nodes and models")
    timeout_s: float = Field(900.0, ge=5, le=86_400, description="for one prompt, its time in the queue included")
    server_patience_s: float = Field(
        30.0, ge=0, le=3_600, description="a server that does not answer for so long gives its jobs to the others"
    )
    usual_latency_s: float = Field(10.0, ge=0, description="seconds that one takes, until some were seen")
    requests_per_min: float = Field(6_000.0, gt=0, description="looks at most, over all servers")

    def list_places(self, name: str) -> Iterator[Place]:
        """The places that a column or option of this name goes to."""
        for text in self.inputs.get(name, []):
            place = parse_place(text)
            if place is not None:
                yield place

    @model_validator(mode="after")
    def _check_inputs(self) -> ComfyOptions:
        for name in ("prompt", "seed"):
            if name not in self.inputs:
                # Without a seed every sample is answered from the server's cache: one image under many names.
                raise ValueError(f"inputs: name the place of {name}, as {{{name}: 3.{name}}}")
        for name in self.inputs:
            for place in self.list_places(name):
                node = self.workflow.get(place.node)
                if node is None:
                    raise ValueError(f"inputs.{name}: the workflow has no node {place.node!r}")
                if place.name not in node["inputs"]:
                    known = ", ".join(sorted(node["inputs"]))
                    raise ValueError(
                        f"inputs.{name}: node {place.node!r} ({node['class_type']}) has no input {place.name!r}; "
                        f"it has: {known}"
                    )
        self._check_values()
        for number in self.outputs or []:
            if number not in self.workflow:
                raise ValueError(f"outputs: the workflow has no node {number!r}")
            if (kind := self.workflow[number]["class_type"]) in SHOWING:
                raise ValueError(f"outputs: node {number!r} ({kind}) saves no file; name one that does, as SaveImage")
        return self

    def _check_values(self) -> None:
        """Pass where every place has one value, of the kind that the workflow has there."""
        taken: dict[Place, str] = {}
        for name in self.inputs:
            for place in self.list_places(name):
                # The server takes a seed for a text, and the last of two values: each row would be paid for with
                # another image than it asks for.
                if (other := taken.setdefault(place, name)) != name:
                    raise ValueError(f"inputs.{name}: {place} is the place of {other} too; name one of its own")
                if (lack := _explain_kind(name, self.workflow[place.node]["inputs"][place.name])) is not None:
                    raise ValueError(f"inputs.{name}: {place} {lack}")


def _explain_kind(name: str, value: Any) -> str | None:
    """Why a column's value cannot stand where the workflow has this one; None where it can, or nobody knows."""
    is_number = isinstance(value, int | float)
    if name in TEXTS and is_number:
        return f"holds a number in the workflow ({value}), and {name} is a text"
    if name in NUMBERS and not is_number and isinstance(value, str):
        return f"holds a text in the workflow, and {name} is a number"
    return None
