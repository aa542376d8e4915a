"""Which listed prediction is what was sent: the same model, the whole input, and nothing that somebody else added."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backends.replicate.input_schema import InputSchema
from tasks.backends.replicate.likeness import Comparison, Likeness, SentInput, is_same
from tasks.backends.replicate.options import ModelReference

SCHNELL = ModelReference("black-forest-labs/flux-schnell", None)
A_VERSION, ANOTHER = "a" * 64, "b" * 64
PINNED = ModelReference("a/b", A_VERSION)
INTERNAL = "replicate-internal/flux-schnell-h100"
SENT = SentInput(values={"prompt": "a fox", "seed": 7})
WHOLE = dict(SENT.values)
PROPERTIES = {"prompt": {}, "seed": {}, "go_fast": {"default": True}, "num_inference_steps": {"default": 4}}
SCHEMA = InputSchema({"components": {"schemas": {"Input": {"type": "object", "properties": PROPERTIES}}}})


def listed(values: object, *, model: str = SCHNELL.name, **fields: Any) -> dict[str, Any]:
    """A listed prediction."""
    return {"id": "p", "model": model, "input": values, **fields}


CASES: dict[str, tuple[dict[str, Any], ModelReference, Likeness]] = {
    "the same": (listed(WHOLE), SCHNELL, Likeness.SAME),
    "another seed": (listed({**WHOLE, "seed": 8}), SCHNELL, Likeness.OTHER),
    "a part": (listed({"prompt": "a fox"}), SCHNELL, Likeness.OTHER),
    "white space": (listed({**WHOLE, "prompt": "a  fox"}), SCHNELL, Likeness.OTHER),
    "a default": (listed({**WHOLE, "go_fast": True}), SCHNELL, Likeness.SAME),
    "null": (listed({**WHOLE, "num_inference_steps": None}), SCHNELL, Likeness.SAME),
    "not the default": (listed({**WHOLE, "num_inference_steps": 2}), SCHNELL, Likeness.OTHER),
    "true is not 1": (listed({**WHOLE, "go_fast": 1}), SCHNELL, Likeness.OTHER),
    "not in the schema": (listed({**WHOLE, "more": 1}), SCHNELL, Likeness.UNSURE),
    "no input": (listed(None), SCHNELL, Likeness.UNSURE),
    "data removed": (listed({}, data_removed=True), SCHNELL, Likeness.UNSURE),
    "a prompt that is no text": (listed({**WHOLE, "prompt": {"a": 1}}), SCHNELL, Likeness.UNSURE),
    "a prompt that is null": (listed({**WHOLE, "prompt": None}), SCHNELL, Likeness.UNSURE),
    "no prompt": (listed({"seed": 7}), SCHNELL, Likeness.UNSURE),
    "no prompt and another seed": (listed({"seed": 8}), SCHNELL, Likeness.OTHER),
    "a seed that is none": (listed({**WHOLE, "seed": 10**400}), SCHNELL, Likeness.UNSURE),
    "a seed that is no number": (listed({**WHOLE, "seed": float("nan")}), SCHNELL, Likeness.UNSURE),
    "a default that is no value": (listed({**WHOLE, "go_fast": [None]}), SCHNELL, Likeness.UNSURE),
    "an odd prompt of a strange model": (listed({**WHOLE, "prompt": 1}, model="a/b"), SCHNELL, Likeness.OTHER),
    "a model that is no name": (listed(WHOLE, model="/etc/passwd"), SCHNELL, Likeness.UNSURE),
    "another model": (listed(WHOLE, model="black-forest-labs/flux-dev"), SCHNELL, Likeness.UNSURE),
    "a name of the service": (listed(WHOLE, model=INTERNAL), SCHNELL, Likeness.UNSURE),
    "a version in its name": (listed(WHOLE, model=f"{SCHNELL.name}:{A_VERSION}"), SCHNELL, Likeness.SAME),
    "its version": (listed(WHOLE, model="a/b", version=A_VERSION), PINNED, Likeness.SAME),
    "another version": (listed(WHOLE, model="a/b", version=ANOTHER), PINNED, Likeness.OTHER),
    "a hidden version": (listed(WHOLE, model="a/b", version="hidden"), PINNED, Likeness.SAME),
    "a version that is no text": (listed(WHOLE, model="a/b", version={"a": 1}), PINNED, Likeness.SAME),
}


@pytest.mark.parametrize(("answer", "model", "expected"), CASES.values(), ids=CASES)
def test_model_and_whole_input_decide(answer: dict[str, Any], model: ModelReference, expected: Likeness) -> None:
    """Further inputs count only as defaults of the schema, and what cannot be told is unsure, never equal."""
    assert Comparison(model, SCHEMA).compare(answer, SENT) is expected


def test_without_a_schema_further_inputs_are_unsure() -> None:
    """They may be defaults or somebody else's wish."""
    answer = listed({**WHOLE, "num_inference_steps": 4})
    assert Comparison(SCHNELL).compare(answer, SENT) is Likeness.UNSURE


def test_another_name_counts_once_own_creates_were_answered_with_it() -> None:
    """A name that none was answered with yet stays unsure: the service may have one of its own for some creates."""
    comparison = Comparison(SCHNELL, SCHEMA)
    comparison.learn(listed(WHOLE), SENT)
    assert comparison.compare(listed(WHOLE, model=INTERNAL), SENT) is Likeness.UNSURE
    comparison.learn(listed(WHOLE, model=INTERNAL), SENT)
    assert comparison.compare(listed(WHOLE, model=INTERNAL), SENT) is Likeness.SAME
    assert comparison.compare(listed(WHOLE), SENT) is Likeness.SAME
    assert comparison.compare(listed({**WHOLE, "seed": 8}, model="a/b"), SENT) is Likeness.OTHER


@pytest.mark.parametrize(
    "written", [{"prompt": "a fox.", "seed": 7}, {"prompt": "a fox", "seed": "7"}, {"prompt": "a fox"}]
)
def test_an_input_that_the_service_rewrites_tells_no_creates_apart(written: dict[str, Any]) -> None:
    """What an own create was answered with proves that a difference there is no difference; the others still count."""
    comparison = Comparison(SCHNELL, SCHEMA)
    comparison.learn(listed(written), SENT)
    assert comparison.compare(listed(written), SENT) is Likeness.UNSURE
    assert comparison.compare(listed(WHOLE), SENT) is Likeness.SAME
    assert comparison.compare(listed({"prompt": "a hen", "seed": 8}), SENT) is Likeness.OTHER


@pytest.mark.parametrize("model", [None, "", 7, {"a": 1}, "..", "http://x/y"])
def test_a_name_that_cannot_be_read_is_neither_learned_nor_another_model(model: Any) -> None:
    """One broken answer must not make every lost prediction a stranger's, to be paid for again."""
    comparison = Comparison(SCHNELL, SCHEMA)
    comparison.learn(listed(WHOLE, model=model), SENT)
    assert comparison.compare(listed(WHOLE, model=INTERNAL), SENT) is Likeness.UNSURE
    comparison.learn(listed(WHOLE), SENT)
    assert comparison.compare(listed(WHOLE, model=model), SENT) is Likeness.UNSURE
    assert comparison.compare(listed({**WHOLE, "seed": 8}, model=model), SENT) is Likeness.OTHER


def test_inputs_that_the_service_adds_by_itself_are_learned() -> None:
    """What stood in the answer to an own create says nothing in another one."""
    comparison = Comparison(SCHNELL)
    comparison.learn(listed({**WHOLE, "go_fast": True}), SENT)
    assert comparison.compare(listed({**WHOLE, "go_fast": True}), SENT) is Likeness.SAME
    assert comparison.compare(listed({**WHOLE, "go_fast": False}), SENT) is Likeness.UNSURE


def test_an_upload_of_an_earlier_run_has_any_address() -> None:
    """The input is there, its address was known to that run only."""
    sent = SentInput(values=WHOLE, unknown=frozenset({"image"}), files=("0" * 64,))
    comparison = Comparison(SCHNELL, SCHEMA)
    assert comparison.compare(listed({**WHOLE, "image": "https://x/1"}), sent) is Likeness.SAME
    assert comparison.compare(listed(WHOLE), sent) is Likeness.OTHER


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (False, 0, False),
        ([1, {"a": 2}], [1.0, {"a": 2}], True),
        ([1], [1, 1], False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ("1", 1, False),
    ],
)
def test_values_are_compared_as_json(one: object, other: object, expected: bool) -> None:  # noqa: FBT001  a case
    """Numbers by value, booleans only with booleans."""
    assert is_same(one, other) is expected
