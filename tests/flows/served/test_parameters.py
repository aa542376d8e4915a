"""The flow's parameters are those of the request: in its signature, in Prefect's form, in a deployment's YAML."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.states import Crashed
from pydantic import ValidationError

from flows.generate_batch import generate_batch
from tasks.runs.request import RunRequest


def in_form(name: str) -> dict[str, Any]:
    """What Prefect's form is built from, for one parameter."""
    found: dict[str, Any] = generate_batch.parameters.model_dump()["properties"][name]
    return found


def test_every_field_is_a_flat_parameter_with_its_description() -> None:
    """The form has a field for each, in order, with the same words."""
    form = generate_batch.parameters.model_dump()
    assert form["required"] == ["out"]
    assert sorted(form["properties"], key=lambda name: in_form(name)["position"]) == list(RunRequest.model_fields)
    for name, field in RunRequest.model_fields.items():
        assert in_form(name)["description"] == field.description


def test_the_form_knows_bounds_and_defaults() -> None:
    """What is out of bounds is refused where it is typed."""
    assert in_form("concurrency")["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 10_000}
    assert in_form("budget_usd")["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 1_000_000_000}
    assert (in_form("retry_failed")["default"], in_form("salt")["default"]) == (False, "")


def test_parameters_from_yaml_are_coerced() -> None:
    """What a deployment's YAML or `-p` gives is what the command line gives."""
    given = generate_batch.validate_parameters({**RunRequest(out="x").model_dump(), "limit": "3", "out": "runs/x"})
    assert RunRequest.model_validate(given).limit == 3


def test_an_unknown_parameter_ends_the_run_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was given it past Prefect's form ends Failed with one line, and not Crashed."""
    ends: list[tuple[str, str]] = []
    monkeypatch.setattr("flows.generate_batch.fail_run", lambda run, message: ends.append((run, message)))
    monkeypatch.setattr("flows.generate_batch.flow_run_logger", lambda _: logging.getLogger("tests"))
    run: Any = SimpleNamespace(id="r", parameters={**RunRequest(out="x").model_dump(), "colour": "red"})
    for hook in generate_batch.on_crashed_hooks:
        hook(generate_batch, run, Crashed())
    [(failed, message)] = ends
    assert failed == "r"
    assert message.startswith("the parameters of this run cannot be used: ")
    assert "colour" in message


@pytest.mark.parametrize("emptied", ["", "  "])
def test_an_emptied_output_is_refused(emptied: str) -> None:
    """As a form leaves it: it would be the folder where the run is started, among whatever lies there."""
    assert in_form("out")["pattern"]
    with pytest.raises(ValidationError):
        RunRequest(out=emptied)
