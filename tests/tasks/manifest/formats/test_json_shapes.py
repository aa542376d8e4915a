"""JSON as other programs write it: requests of many services, tables, and documents that hold no rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.manifest.reading import good, problems

PATHS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            "key": "r7",
            "request": {
                "contents": [{"role": "user", "parts": [{"text": "a hare"}]}],
                "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "3:2"}},
            },
        },
        {"id": "r7", "aspect_ratio": "3:2", "backend_opts": {}},
    ),
    (
        {"recordId": "b1", "modelInput": {"textToImageParams": {"text": "a hare", "negativeText": "fog"}}},
        {"id": "b1", "negative_prompt": "fog"},
    ),
    (
        {"instances": [{"prompt": "a hare"}], "parameters": {"sampleCount": 3}},
        {"samples": 3},
    ),
    (
        {"app": "fal-ai/some/model", "arguments": {"prompt": "a hare", "image_size": "square"}},
        {"model": "fal-ai/some/model", "width": 512},
    ),
    (
        {"text_prompts": [{"text": "a hare", "weight": 1}, {"text": "fog", "weight": -1}], "samples": 2},
        {"negative_prompt": "fog", "samples": 2},
    ),
    ({"custom_id": "c1", "body": {"model": "m", "input": "a hare"}}, {"id": "c1", "model": "m"}),
    ({"image_request": {"prompt": "a hare", "aspect_ratio": "ASPECT_2_3"}}, {"aspect_ratio": "2:3"}),
    (
        {"model": "m", "messages": [{"content": "a hare"}], "image_config": {"aspect_ratio": "4:3"}},
        {"aspect_ratio": "4:3"},
    ),
    ({"id": 9, "nsfw": False, "meta": {"prompt": "a hare", "cfgScale": 4}}, {"id": "9", "extra": {"nsfw": False}}),
    ({"id": "rec1", "fields": {"Prompt": "a hare", "Mood": "calm"}}, {"id": "rec1", "extra": {"Mood": "calm"}}),
]


@pytest.mark.parametrize(("row", "expected"), PATHS)
def test_a_request_of_any_service_is_a_row(tmp_path: Path, row: dict[str, Any], expected: dict[str, Any]) -> None:
    """Prompt and settings are found where each service keeps them, alone in a file and among other lines."""
    for content in (json.dumps(row), f"{json.dumps(row)}\n{json.dumps({**row, 'id': 'other'})}\n"):
        prompt = good(tmp_path, "m.jsonl", content)[0]
        assert prompt.prompt == "a hare"
        assert {name: getattr(prompt, name) for name in expected} == expected


TABLES = [
    '{"prompt": {"0": "a hare", "1": "an elk"}, "seed": {"0": 5, "1": 6}}',
    '{"prompt": ["a hare", "an elk"], "seed": [5, 6]}',
    '{"columns": ["prompt", "seed"], "index": [0, 1], "data": [["a hare", 5], ["an elk", 6]]}',
    '{"range": "A1:B3", "values": [["Prompt", "Seed"], ["a hare", "5"], ["an elk", "6"]]}',
    '[["prompt", "seed"], ["a hare", 5], ["an elk", 6]]',
    '{"results": [{"prompt": "a hare", "seed": 5}, {"prompt": "an elk", "seed": 6}], "next": null}',
    '{"prompt": "a hare", "seed": 5}{"prompt": "an elk", "seed": 6}',
    '{"prompt": "a hare", "seed": 5},\n{"prompt": "an elk", "seed": 6},\n',
]


@pytest.mark.parametrize("content", TABLES)
@pytest.mark.parametrize("name", ["m.json", "m.jsonl"])
def test_a_table_in_json_is_read(tmp_path: Path, name: str, content: str) -> None:
    """Columns as data frames write them, lists under a list of names, and objects in a row are rows."""
    assert [(row.prompt, row.seed) for row in good(tmp_path, name, content)] == [("a hare", 5), ("an elk", 6)]


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ('{"7": {"class_type": "KSampler", "inputs": {"seed": 5}}}', "workflow of ComfyUI"),
        ('{"prompt": {"7": {"class_type": "KSampler", "inputs": {}}}}', "workflow of ComfyUI"),
        ('{"request": {"tools": []}}', "no column holds the prompts"),
        ('{"hare": "a hare", "elk": "an elk"}', '{"id": "...", "prompt": "..."}'),
        ('{"train": [{"prompt": "a"}], "test": [{"prompt": "b"}]}', "found: train, test"),
        ('{"prompt": ["a", "b"], "seed": [1]}', "no common rows"),
        ('[["a hare", 5]]', "name the columns in the first list"),
        ('[["prompt"], ["a hare", 5]]', "names 1 columns"),
        ('{"instances": [{"prompt": "a"}, {"prompt": "b"}]}', "each on a line of its own"),
        ('{"text_prompts": [{"text": "a"}, {"text": "b"}]}', "give one prompt"),
        ('[{"prompt": "a"}] // done', "JSON has no comments"),
        ('[{"prompt": "a"},]', "delete the comma"),
        ("[{'prompt': 'a'}]", "double quotes"),
        (f'[{{"prompt": "a", "seed": {"9" * 5_000}}}]', "a number of 5000 digits; put it in quotes"),
        ('[{"prompt": None}]', "JSON has true, false and null"),
        ('[{"prompt": \u201ca\u201d}]', "straight double quotes"),
        ('[{"prompt": "a "red" fox"}]', 'is written \\"'),
    ],
)
def test_what_holds_no_rows_is_told_with_the_remedy(tmp_path: Path, content: str, remedy: str) -> None:
    """A key of a document is never taken for a prompt, and each usual mistake says how it is mended."""
    assert any(remedy in message for _, _, message in problems(tmp_path, "m.json", content))
