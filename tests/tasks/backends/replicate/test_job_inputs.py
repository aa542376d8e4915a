"""Answers about jobs of one shape are remembered, and are those that each job gets by itself."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest

from tasks.backends.prices import Used
from tasks.backends.replicate.input_schema import InputSchema
from tasks.backends.replicate.job_inputs import InputCheck, JobInputs
from tasks.backends.replicate.likeness import Comparison
from tasks.backends.replicate.models import get_model_facts
from tasks.backends.replicate.options import ReplicateOptions, parse_model
from tasks.backends.replicate.reference_inputs import ReferenceInputs
from tests.support.factories import make_job

MODEL, OPTIONS = "black-forest-labs/flux-schnell", ReplicateOptions()
ROWS: tuple[dict[str, Any], ...] = (
    {"prompt": "a fox", "seed": 1},
    {"prompt": "a much longer prompt than that of the fox", "seed": 2**31},
    {"prompt": "a fox", "seed": 1, "negative_prompt": "blur"},
    {"prompt": "a fox", "seed": 1, "backend_opts": {"num_outputs": 1}},
    {"prompt": "a fox", "seed": 1, "backend_opts": {"num_outputs": True}},
    {"prompt": "a fox", "seed": 1, "backend_opts": {"num_outputs": 1.0}},
    {"prompt": "a fox", "seed": 1, "backend_opts": {"num_outputs": "4"}},
    {"prompt": "a fox", "seed": 1, "backend_opts": {"prompt": ["a", "b"]}},
    {"prompt": "a fox", "seed": 1, "backend_opts": {"extra": "x" * 5_000, "num_outputs": 3}},
)
NAMES: dict[str, Any] = {
    "aspect_ratio": {},
    "num_outputs": {"type": "integer", "maximum": 4},
    "output_format": {},
    "extra": {},
    "negative_prompt": {"type": "string"},
}
SCHEMAS = {
    "none": None,
    "any text and seed": {**NAMES, "prompt": {"type": "string"}, "seed": {"type": "integer"}},
    "short texts, small seeds": {
        **NAMES,
        "prompt": {"type": "string", "maxLength": 20},
        "seed": {"type": "integer", "maximum": 9},
        "negative_prompt": {"enum": ["noise"]},
    },
}


def build_schema(name: str) -> InputSchema | None:
    """The schema of this name, which has checked nothing yet."""
    properties = SCHEMAS[name]
    document = {"components": {"schemas": {"Input": {"type": "object", "properties": properties}}}}
    return None if properties is None else InputSchema(document)


def build_inputs() -> JobInputs:
    """Inputs that remember nothing yet."""
    facts = get_model_facts(MODEL)
    return JobInputs(options=OPTIONS, facts=facts, references=ReferenceInputs.of(facts, OPTIONS))


def ask(name: str, *rows: Mapping[str, Any]) -> list[tuple[list[str], Used]]:
    """The problems and quantities of the rows' jobs, of which each is asked about after those before it."""
    inputs, jobs = build_inputs(), [make_job(**row) for row in rows]
    check = InputCheck(inputs, Comparison(parse_model(MODEL), build_schema(name)))
    return [(check.list_problems(job), inputs.count_used(job, None)) for job in jobs]


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_one_job_is_told_does_not_depend_on_those_before_it(name: str) -> None:
    """In whatever order two of them come: a seed that is too large is told after one that is not, and 1 is not true."""
    alone = [ask(name, row)[0] for row in ROWS]
    for one, other in permutations(range(len(ROWS)), 2):
        assert ask(name, ROWS[one], ROWS[other], ROWS[one]) == [alone[one], alone[other], alone[one]]


def test_what_was_sound_without_a_schema_is_checked_by_one() -> None:
    """The schema may come later than the first job."""
    comparison, job = Comparison(parse_model(MODEL)), make_job(**ROWS[1])
    check = InputCheck(build_inputs(), comparison)
    assert check.list_problems(job) == []
    comparison.schema = build_schema("short texts, small seeds")
    assert len(check.list_problems(job)) == 2
