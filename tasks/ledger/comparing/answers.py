"""Answers of blind comparisons: a row for each, so an undo is one more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.ledger.database.schema import AnswerName, comparisons
from tasks.ledger.database.transactions import execute, fetch_mappings, fetch_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One reviewer's answer about two images."""

    first_job: str
    first_sha256: str
    second_job: str
    second_sha256: str
    reviewer: str
    answer: AnswerName | None
    """None takes back what stood before."""
    at_us: int

    @property
    def files(self) -> tuple[str, str]:
        """The sha256 of both."""
        return self.first_sha256, self.second_sha256


async def record_comparison(engine: AsyncEngine, comparison: Comparison) -> None:
    """Add an answer; it is on disk when this returns."""
    await execute(engine, insert(comparisons), [asdict(comparison)])


async def find_last_instant_us(engine: AsyncEngine) -> int:
    """Instant of the latest row, those that take something back among them; 0 before the first."""
    [(latest,)] = await fetch_rows(engine, select(func.coalesce(func.max(comparisons.c.at_us), 0)))
    return int(latest)


async def read_comparisons(engine: AsyncEngine) -> Sequence[Comparison]:
    """The last answer of every reviewer about every pair, the oldest first; without those taken back."""
    columns = comparisons.c
    last = func.row_number().over(
        partition_by=(columns.first_sha256, columns.second_sha256, columns.reviewer), order_by=columns.at_us.desc()
    )
    ranked = select(comparisons, last.label("place")).subquery()
    names = [ranked.c[column.name] for column in columns]
    counts = (ranked.c.place == 1) & ranked.c.answer.is_not(None)
    found = await fetch_mappings(engine, select(*names).where(counts).order_by(ranked.c.at_us))
    return [Comparison(**cast("dict[str, str]", dict(row))) for row in found]  # type: ignore[arg-type]  # checked as the ledger opened
