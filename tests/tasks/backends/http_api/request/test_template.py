"""Placeholders of a described API: filled with values, which are never templates themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.http_api.request.template import fill, fill_address


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{seed}", 7),
        ("seed {seed}", "seed 7"),
        ("{{seed}}", "{seed}"),
        ({"a": "{seed}", "b": "{steps}", "c": ["{steps}", "{seed}"]}, {"a": 7, "c": [7]}),
        ({"a": {"b": "{steps}"}}, {"a": {}}),
        ([1, 1.5, True, "{steps}"], [1, 1.5, True]),
        ("{prompt}", '"}{seed}{{'),
        ("x{steps}y", "xy"),
    ],
)
def test_values_keep_their_type_and_are_never_read_as_templates(template: Any, expected: Any) -> None:
    """What has no value is left out; braces in a prompt are text."""
    assert fill(template, {"seed": 7, "steps": None, "prompt": '"}{seed}{{'}) == expected


def test_a_value_in_an_address_leads_nowhere_else() -> None:
    """Slashes, dots and question marks of a value are its own, but for the slashes of a model's name."""
    values = {"id": "../../admin?x=1#", "model": "owner/name"}
    filled = fill_address("https://api.example/v1/{model}/{id}", values)
    assert filled == "https://api.example/v1/owner/name/..%2F..%2Fadmin%3Fx%3D1%23"
