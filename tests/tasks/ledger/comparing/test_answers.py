"""Answers of blind comparisons in the ledger, on both databases."""

from __future__ import annotations

from pathlib import Path

from tasks.ledger.comparing.answers import Comparison, find_last_instant_us, read_comparisons, record_comparison
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import AnswerName


def compare(reviewer: str, answer: AnswerName | None, at_us: int) -> Comparison:
    """An answer about the only pair."""
    return Comparison(
        first_job="a",
        first_sha256="1",
        second_job="b",
        second_sha256="2",
        reviewer=reviewer,
        answer=answer,
        at_us=at_us,
    )


async def test_the_last_answer_of_each_reviewer_counts(out: Path) -> None:
    """A later answer replaces an earlier one, an undo takes it back, and other reviewers keep theirs."""
    ann, bob = compare("ann", "second", 3), compare("bob", "tie", 2)
    async with open_ledger(out, create=True) as engine:
        assert await find_last_instant_us(engine) == 0
        for comparison in (compare("ann", "first", 1), bob, ann):
            await record_comparison(engine, comparison)
        assert await read_comparisons(engine) == [bob, ann]
        await record_comparison(engine, compare("ann", None, 4))
        assert await read_comparisons(engine) == [bob]
        assert await find_last_instant_us(engine) == 4
