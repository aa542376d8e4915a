"""Placeholders of each call of a described API, and the parts of the call in which they may stand."""

from __future__ import annotations

from tasks.backends.http_api.request.template import TOKEN, check
from tasks.backends.http_api.sections import Call
from tasks.store.references import INPUTS

# Every placeholder that a row can fill. A name outside these lists is a mistake that is found before anything is sent.
OF_THE_JOB = frozenset({
    "prompt", "negative_prompt", "seed", "width", "height", "size", "aspect_ratio", "shape", "steps", "format", "model",
    "job_id", "batch",
})  # fmt: skip
BASE64 = "_base64"
OF_IMAGES = frozenset(name + form for name in INPUTS for form in ("", BASE64))
"""Of the images that a job starts from; they are large, so they stand in the body only."""
OF_A_CREATE = OF_THE_JOB | {"attempt", TOKEN}
OF_A_PREDICTION = frozenset({"id", "model", TOKEN})
OF_A_LOOKUP = OF_THE_JOB | {"since", "page", TOKEN}
# Prompts stay out of headers: they hold letters that no header can, and their line ends would begin a new one.
OF_A_HEADER = frozenset({"job_id", "batch", "attempt", "model", "id", TOKEN})


def check_placeholders(name: str, call: Call, allowed: frozenset[str]) -> None:
    """Pass where every placeholder of a call can be filled.

    Args:
        name: The setting that holds the call.
        call: The call.
        allowed: Names that have a value there.

    Raises:
        ValueError: One cannot.
    """
    of_body = allowed | (OF_IMAGES if name == "create" else frozenset())
    from_answer = name == "result"
    parts = (
        ("url", call.url, allowed, True),
        ("headers", call.headers, allowed & OF_A_HEADER, True),
        # A secret in a body would travel with what is logged of it; a login has nowhere else to be.
        ("body", call.body, of_body, name == "before"),
        ("form", call.form, of_body, name == "before"),
        ("fields", call.fields, allowed, name == "before"),
    )
    for part, tree, names, env in parts:
        try:
            check(tree, names, env=env, from_answer=from_answer)
        except ValueError as exc:
            raise ValueError(f"{name}.{part}: {exc}") from None
