"""Content hashes, derived seeds, prompt hashes."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.identity import (
    SEED_SPACE,
    compute_job_id,
    derive_seed,
    hash_prompt,
    hash_row,
    normalize_prompt,
    to_canonical_json,
)


def test_identity_ignores_the_order_of_keys() -> None:
    """Equal content has one identity, however the row spells it."""
    assert hash_row({"a": 1, "b": {"d": 2, "c": 3}}) == hash_row({"b": {"c": 3, "d": 2}, "a": 1})


def test_each_part_of_the_identity_counts() -> None:
    """Another row, sample, repetition or salt is another job."""
    base = compute_job_id("r", sample=0, duplicate_number=0, salt="")
    others = {
        compute_job_id("s", sample=0, duplicate_number=0, salt=""),
        compute_job_id("r", sample=1, duplicate_number=0, salt=""),
        compute_job_id("r", sample=0, duplicate_number=1, salt=""),
        compute_job_id("r", sample=0, duplicate_number=0, salt="2026-11-24"),
    }
    assert len(others | {base}) == 5


def test_identities_stay_what_they_are() -> None:
    """A release that changed an identity would pay for every picture again."""
    row = hash_row({"prompt": "füchse 🦊", "seed": None})
    job = compute_job_id(row, sample=1, duplicate_number=2, salt="x")
    assert row == "727113f984003e12e1485b9c19da8c454757a720fffcf90730cf5e4edbbfed26"
    assert job == "ce650dc069e2e135138c6d41a8243658537cbdea0c4ce88dc04f130cbc425caa"
    assert derive_seed(job) == 1_776_476_469
    assert to_canonical_json({"b": [1, None], "a": "ü"}) == '{"a":"ü","b":[1,null]}'


def test_the_prompt_hash_is_the_plain_sha256() -> None:
    """Anyone who knows a prompt can find its usage rows."""
    assert hash_prompt("  a fox\n") == hashlib.sha256(b"  a fox\n").hexdigest()


@given(st.integers(min_value=0, max_value=10**6))
def test_derived_seeds_fit_every_provider(number: int) -> None:
    """A derived seed lies in 0..2^31-1."""
    assert 0 <= derive_seed(compute_job_id(str(number), sample=0, duplicate_number=0, salt="")) < SEED_SPACE


@given(st.text())
def test_what_is_sent_has_single_spaces_and_no_edges(prompt: str) -> None:
    """White space is normalised in what is sent, and doing it twice changes nothing."""
    sent = normalize_prompt(prompt)
    assert sent == sent.strip()
    assert "\n" not in sent
    assert normalize_prompt(sent) == sent
