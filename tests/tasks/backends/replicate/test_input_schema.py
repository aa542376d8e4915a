"""What a model takes: read from its page, and never a reason to refuse a batch when it cannot be read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.backends.replicate.input_schema import InputSchema, fetch_schema
from tasks.backends.replicate.options import ModelReference
from tasks.core.display import Display, current_display
from tasks.core.errors import ConfigError
from tests.support.raw_server import http, raw_server

DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Input": {
                "type": "object",
                "required": ["prompt"],
                "properties": {
                    "prompt": {"type": "string"},
                    "steps": {"type": "integer", "maximum": 4},
                    "format": {"allOf": [{"$ref": "#/components/schemas/format"}]},
                },
            },
            "format": {"type": "string", "enum": ["png", "jpg"]},
        }
    }
}
VERSION = {"id": "f" * 64, "openapi_schema": DOCUMENT}
SCHNELL = ModelReference("black-forest-labs/flux-schnell", None)


async def fetched(page: Any, model: ModelReference = SCHNELL, status: str = "200 OK") -> tuple[InputSchema | None, str]:
    """What comes of a model's page, and the path that was asked for."""
    async with raw_server(http(status, json.dumps(page))) as server:
        # It blocks, so it runs beside the server.
        schema = await asyncio.to_thread(fetch_schema, model, base=server.url, token="r8_x", token_env="MY_TOKEN")
    return schema, server.requests[0].split()[1]


async def test_an_input_is_held_against_the_schema() -> None:
    """Unknown names, wrong values and missing inputs, each by its name; a name that the model lacks says the way out."""
    schema, path = await fetched({"latest_version": VERSION})
    assert schema is not None
    assert path == "/v1/models/black-forest-labs/flux-schnell"
    assert schema.problems({"prompt": "a fox", "steps": 4, "format": "png"}) == []
    problems = schema.problems({"steps": 9, "format": "gif", "num_outputs": 1})
    assert [problem.partition(":")[0] for problem in problems] == ["num_outputs", "input", "steps", "format"]
    assert "backend_opts: {num_outputs: null}" in problems[0]


@pytest.mark.parametrize("extra", [{}, {"dependentRequired": {"prompt": ["format"]}}])
@pytest.mark.parametrize(
    "values",
    [
        {"prompt": 5, "steps": 4},
        {"prompt": "b", "steps": True},
        {"prompt": "b", "steps": 4.5},
        {"prompt": "b", "steps": 9},
        {"steps": 4},
        {"prompt": "b", "steps": 4, "format": ["png"]},
    ],
)
def test_a_row_is_refused_whatever_valid_rows_came_before(values: dict[str, Any], extra: dict[str, Any]) -> None:
    """Rows of a kind that was found valid are not validated again, and this lets no other row through."""
    schemas = DOCUMENT["components"]["schemas"]
    document = {"components": {"schemas": {**schemas, "Input": {**schemas["Input"], **extra}}}}
    schema = InputSchema(document)
    for number in range(3):
        row = {"prompt": f"a {number}", "steps": 4, "format": "png"}
        assert (schema.problems(row), schema.problems(row | {"steps": 1})) == ([], [])
    assert schema.problems(values) == InputSchema(document).problems(values) != []


async def test_a_version_has_a_schema_of_its_own() -> None:
    """The one that the configuration names, not the model's latest."""
    schema, path = await fetched(VERSION, ModelReference("stability-ai/sdxl", "f" * 64))
    assert schema is not None
    assert path == f"/v1/models/stability-ai/sdxl/versions/{'f' * 64}"


async def test_a_community_model_needs_its_version() -> None:
    """It cannot be run by its name alone; the message has the reference to write."""
    with pytest.raises(ConfigError, match=f"stability-ai/sdxl:{'f' * 64}"):
        await fetched({"is_official": False, "latest_version": VERSION}, ModelReference("stability-ai/sdxl", None))


@pytest.mark.parametrize(
    "page",
    [
        [],
        {},
        {"latest_version": None},
        {"latest_version": {"id": "f", "openapi_schema": {}}},
        {"latest_version": {"id": "f", "openapi_schema": {"components": {"schemas": {"Output": {}}}}}},
        {
            "latest_version": {
                "id": "f",
                "openapi_schema": {"components": {"schemas": {"Input": {"type": 7, "properties": {}}}}},
            }
        },
    ],
)
async def test_a_page_without_a_schema_refuses_nothing(page: Any) -> None:
    """Some models publish none, and a page may be of a form that we do not know."""
    assert (await fetched(page))[0] is None


async def test_a_service_in_trouble_refuses_nothing() -> None:
    """The check is left out; the create will tell."""
    assert (await fetched({}, status="503 Service Unavailable"))[0] is None


@pytest.mark.parametrize(
    ("status", "fragment"), [("401 Unauthorized", "MY_TOKEN"), ("404 Not Found", "knows no model black-forest-labs")]
)
async def test_what_can_never_work_is_said_before_anything_is_sent(status: str, fragment: str) -> None:
    """A refused token or an unknown model."""
    with pytest.raises(ConfigError, match=fragment):
        await fetched({}, status=status)


def build_schema(properties: dict[str, Any], **components: Any) -> InputSchema:
    """A schema with these inputs."""
    inputs = {"type": "object", "properties": properties}
    return InputSchema({"components": {"schemas": {"Input": inputs, **components}}})


async def test_a_schema_leads_nowhere_else() -> None:
    """A reference to another address or to a file is not followed: nobody is asked, and nothing is read."""
    async with raw_server(http("200 OK", '{"type": "string"}')) as server:
        for elsewhere in (f"{server.url}/x.json", "file:///etc/passwd", "#/components/schemas/none"):
            schema = build_schema({"prompt": {"$ref": elsewhere}})
            assert await asyncio.to_thread(schema.problems, {"prompt": 7}) == []
    assert server.requests == []


def test_a_schema_that_refers_to_itself_is_as_good_as_none() -> None:
    """It crashes nothing; the service checks the input."""
    schema = build_schema({"prompt": {"$ref": "#/components/schemas/loop"}}, loop={"$ref": "#/components/schemas/loop"})
    assert schema.problems({"prompt": "a fox"}) == []


def test_a_schema_that_doubles_itself_holds_up_nobody() -> None:
    """Forty steps that each refer twice to the next one are 2^40 checks; a schema of usual size is still checked."""
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/components/schemas/a{n + 1}"}] * 2} for n in range(40)}
    schema = build_schema({"prompt": {"$ref": "#/components/schemas/a0"}}, **steps, a40={"type": "string"})
    assert schema.problems({"prompt": "a fox"}) == []
    assert schema.problems({"prompt": "a fox"}) == []
    enum = build_schema({"size": {"$ref": "#/components/schemas/size"}}, size={"enum": ["1:1"]})
    assert enum.problems({"size": "2:1"}) != []


def test_a_published_pattern_holds_up_nobody() -> None:
    """One that takes exponential time is not tried here."""
    schema = build_schema({"prompt": {"type": "string", "pattern": "^(a+)+$"}})
    assert schema.problems({"prompt": "a" * 50_000 + "!"}) == []
    assert schema.problems({"prompt": 7}) != []


@pytest.mark.parametrize(
    "page",
    [
        {"latest_version": {"openapi_schema": None}},
        {"latest_version": {"openapi_schema": {"components": {"schemas": {"Input": [1]}}}}},
        {"latest_version": {"openapi_schema": {"components": {"schemas": {"Input": {"properties": 5}}}}}},
        {"latest_version": {"openapi_schema": {"components": {"schemas": {"Input": {"type": 5, "properties": {}}}}}}},
        {"latest_version": ["x"]},
        [],
        "x" * 17_000_000,
    ],
)
async def test_trouble_with_a_schema_is_said_once_and_stops_nothing(page: Any, display: list[str]) -> None:
    """Whatever the page holds, and however long it is."""
    assert (await fetched(page))[0] is None
    assert len(display) == 1
    assert "schema cannot be read" in display[0]


@pytest.fixture
def display() -> Iterator[list[str]]:
    """Warnings that stay on the screen."""
    shown: list[str] = []

    class Screen(Display):
        def warn(self, text: str) -> None:
            shown.append(text)

    token = current_display.set(Screen())
    yield shown
    current_display.reset(token)


def test_several_images_by_default_are_said_before_anything_is_paid() -> None:
    """A model that makes four images unless it is told otherwise would bill four and one would be kept."""
    schema = build_schema({"prompt": {"type": "string"}, "Num-Images": {"type": "integer", "default": 4}})
    [problem] = schema.problems({"prompt": "a fox"})
    assert problem.startswith("Num-Images: the model makes 4 images")
    assert schema.problems({"prompt": "a fox", "Num-Images": 1}) == []


COUNTS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "a name that is known": ("num_outputs", {"type": "integer", "default": 4}, "makes 4"),
    "a default of one": ("num_outputs", {"type": "integer", "default": 1, "maximum": 4}, None),
    "only a maximum": ("num_outputs", {"type": "integer", "maximum": 4}, "may make 4"),
    "a maximum of one": ("num_outputs", {"type": "integer", "maximum": 1}, None),
    "nothing said": ("num_outputs", {"type": "integer"}, None),
    "a choice": ("num_outputs", {"allOf": [{"$ref": "#/components/schemas/x"}], "default": 4}, "makes 4"),
    "its words": ("grid", {"type": "integer", "default": 4, "description": "Number of images to generate."}, "makes 4"),
    "its title": ("grid", {"type": "integer", "maximum": 9, "title": "How many pictures"}, "may make 9"),
    "steps": ("grid", {"type": "integer", "default": 4, "description": "Number of denoising steps per image"}, None),
    "images that go in": ("grid", {"type": "integer", "default": 4, "description": "Number of input images"}, None),
    "a text about images": ("grid", {"type": "string", "default": "4", "description": "number of images"}, None),
}


@pytest.mark.parametrize(("name", "described", "makes"), COUNTS.values(), ids=COUNTS)
def test_inputs_that_count_images_are_known_by_name_and_words(
    name: str, described: dict[str, Any], makes: str | None
) -> None:
    """Where one is not sent its default counts, else its maximum: several images are refused before they are paid for."""
    problems = build_schema({"prompt": {}, name: described}).problems({"prompt": "a fox"})
    assert [makes in problem for problem in problems if makes] == ([True] if makes else [])
    assert bool(problems) == bool(makes)


def test_a_count_by_another_name_is_refused_where_it_is_sent() -> None:
    """Its description says that it counts images: one is fine, four are not."""
    schema = build_schema({"grid": {"type": "integer", "description": "The number of output images"}})
    assert schema.problems({"grid": 1}) == []
    [problem] = schema.problems({"grid": 4})
    assert problem.startswith("grid: 4 images would be paid for")
