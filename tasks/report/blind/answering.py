"""Answers of one reviewer about pairs: which are given, what comes next, and the writing into the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.errors import InputError
from tasks.core.safe_text import sanitize_text
from tasks.ledger.comparing.answers import Comparison, find_last_instant_us, read_comparisons, record_comparison
from tasks.ledger.database.schema import AnswerName
from tasks.report.blind.pairs import KEY_DIGITS, Pair, Unpaired
from tasks.report.blind.results import build_results

# The pair that is shown, and the one whose images are loaded meanwhile.
SHOWN = 2


class Answer(BaseModel):
    """An answer as the page sends it; the page knows sides only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pair: str = Field(pattern=rf"^[0-9a-f]{{{KEY_DIGITS}}}$")
    answer: Literal["left", "right", "tie", "skip"]


class Answering:
    """One reviewer's way through the pairs."""

    def __init__(
        self,
        engine: AsyncEngine,
        pairs: Mapping[str, Pair],
        reviewer: str,
        clock: Clock,
        unpaired: Unpaired = Unpaired(),  # noqa: B008  frozen
    ) -> None:
        """Begin with nothing answered; `load` brings what the ledger has."""
        self._engine, self._clock, self._unpaired = engine, clock, unpaired
        self.pairs, self.reviewer = pairs, sanitize_text(reviewer)
        # In the order of the answers, for the undo.
        self._given: dict[str, None] = {}
        self._last_us = 0

    async def load(self) -> None:
        """Take up what this reviewer answered before."""
        keys = {pair.files: key for key, pair in self.pairs.items()}
        for answer in await read_comparisons(self._engine):
            if answer.reviewer == self.reviewer and answer.files in keys:
                self._given[keys[answer.files]] = None

    def describe(self) -> dict[str, Any]:
        """The progress, and the next pairs: only what does not tell which side is which."""
        left = (key for key in self.pairs if key not in self._given)
        shown = [{"pair": key, "prompt": self.pairs[key].first.prompt} for key in islice(left, SHOWN)]
        return {"total": len(self.pairs), "answered": len(self._given), "next": shown}

    async def answer(self, said: Answer) -> None:
        """Write an answer; it is in the ledger when this returns.

        Raises:
            InputError: There is no such pair (any more); nothing is written.
        """
        if (pair := self.pairs.get(said.pair)) is None:
            raise InputError("This pair is not part of the comparison any more. Load the page again.")
        chosen: AnswerName
        match said.answer:
            case "left" | "right":
                chosen = "first" if pair.get_image(said.answer) is pair.first else "second"
            case "tie" | "skip":
                chosen = said.answer
        await self._record(pair, chosen)
        self._given.pop(pair.key, None)
        self._given[pair.key] = None

    async def undo(self) -> None:
        """Take the last answer back; without one, nothing happens."""
        if key := next(reversed(self._given), None):
            await self._record(self.pairs[key], None)
            self._given.pop(key, None)

    async def build_results(self) -> dict[str, Any]:
        """The results so far, of all reviewers."""
        return await read_results(self._engine, self.pairs, self._unpaired)

    async def _record(self, pair: Pair, answer: AnswerName | None) -> None:
        # Another process may have written, by a clock that was turned back since.
        found_us = await find_last_instant_us(self._engine)
        self._last_us = max(self._clock.now_us(), found_us + 1, self._last_us + 1)
        comparison = Comparison(
            first_job=pair.first.job_id,
            first_sha256=pair.first.sha256,
            second_job=pair.second.job_id,
            second_sha256=pair.second.sha256,
            reviewer=self.reviewer,
            answer=answer,
            at_us=self._last_us,
        )
        await record_comparison(self._engine, comparison)


async def read_results(engine: AsyncEngine, pairs: Mapping[str, Pair], unpaired: Unpaired) -> dict[str, Any]:
    """The results in a ledger."""
    return build_results(pairs, await read_comparisons(engine), unpaired)
