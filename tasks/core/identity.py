"""The identity of a job: content hashes, derived seeds and the prompt hash of the usage table.

A job is identified by what decides its image, never by its place in the manifest or by its `id`, so a
manifest can be reordered, extended or edited and only the difference is new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tasks.core.records import Job, Prompt, ReferenceImage

# Made once: `json.dumps` would make one for every job.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
SEED_SPACE = 2**31
"""Derived seeds lie in 0..2^31-1: every provider's seed field takes them."""
SEEDS = 2**63
"""Seeds of rows lie below; the samples of the last one begin at 0 again."""


def normalize_prompt(prompt: str) -> str:
    """The text that goes to a backend: white space collapsed, because some models fail on newlines."""
    return " ".join(prompt.split())


def to_canonical_json(value: Any) -> str:
    """One spelling for equal values: sorted keys, no spaces, no escapes beyond what JSON demands."""
    # Never change this: it is the identity of every job in every ledger.
    return _CANONICAL.encode(value)


def hash_text(text: str) -> str:
    """The sha256 of `text` in UTF-8, 64 hex digits. Lone surrogates, which JSON can carry, hash too."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def build_content(
    row: Prompt | Job,
    *,
    backend_type: str,
    model: str,
    seed: int | None,
    backend_opts: Mapping[str, Any],
    references: Mapping[str, ReferenceImage],
) -> dict[str, Any]:
    """The content of a row that decides its image, apart from sample, repetition and salt.

    Args:
        row: The row, or a job of it.
        backend_type: Of the backend that is to make it.
        model: Of the backend.
        seed: As the row gives it; None where it gives none.
        backend_opts: Of the backend and the row together.
        references: The images that it starts from, by column.
    """
    content = {
        "backend_type": backend_type,
        "model": model,
        # As it is sent: an edge space more or less does not make another image.
        "prompt": normalize_prompt(row.prompt),
        "negative_prompt": row.negative_prompt,
        "width": row.width,
        "height": row.height,
        "aspect_ratio": row.aspect_ratio,
        "steps": row.steps,
        "seed": seed,
        "backend_opts": dict(backend_opts),
    }
    # No key for a row without images: it keeps the identity that it had before rows could have any.
    return content | {name: found.sha256 for name, found in references.items()}


def hash_row(row: Mapping[str, Any]) -> str:
    """Identity of a manifest row's image before sample, repetition and salt are known."""
    return hash_text(to_canonical_json(row))


def compute_job_id(row: str, *, sample: int, duplicate_number: int, salt: str) -> str:
    """Identity of one image.

    Args:
        row: The row's `hash_row`.
        sample: 0-based number among the row's samples.
        duplicate_number: Number of identical rows before this one in the manifest.
        salt: The run's salt; another one makes every job a new one.
    """
    return hash_text(to_canonical_json({"row": row, "sample": sample, "earlier": duplicate_number, "salt": salt}))


def derive_seed(job: str) -> int:
    """The seed of a job that was given none: the same manifest gives the same images."""
    # From the id, not drawn: a resume on another machine sends the same input, which finds a lost job.
    return int(job[:16], 16) % SEED_SPACE


def hash_prompt(prompt: str) -> str:
    """The sha256 of the user's prompt as it stands in the manifest; all that the usage table learns of it."""
    return hash_text(prompt)
