"""Judgements as they come from a browser or a list: validated, held against the batch, written into the ledger."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.clock import Clock
from tasks.core.errors import InputError
from tasks.core.memory import split_chunks
from tasks.core.safe_text import sanitize_text
from tasks.ledger.database.connect import open_ledger
from tasks.ledger.database.schema import MOST_RATING, VerdictName
from tasks.ledger.lookup import find_job_ids
from tasks.ledger.verdicts import (
    MOST_NOTE_CHARACTERS,
    Verdict,
    find_last_instant_us,
    find_made,
    record_verdicts,
)
from tasks.store.output import Output

# A page sends what was clicked since the last time; a thousand is far more than that.
MOST_AT_ONCE = 1_000
# Characters of a name that is written beside every verdict.
MOST_REVIEWER_CHARACTERS = 100


class Judgement(BaseModel):
    """A reviewer's word on one image; all of it replaces the same reviewer's earlier one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    verdict: VerdictName | None = None
    rating: int | None = Field(None, ge=1, le=MOST_RATING)
    note: str | None = Field(None, max_length=MOST_NOTE_CHARACTERS)


class Judgements(BaseModel):
    """One message of a reviewer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reviewer: str = Field(min_length=1, max_length=MOST_REVIEWER_CHARACTERS)
    judgements: list[Judgement] = Field(max_length=MOST_AT_ONCE)


class Judge:
    """Writes judgements into one ledger, each at an instant of its own."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        """Write into the ledger behind `engine`."""
        self._engine, self._clock = engine, clock
        self._last_us = 0

    async def record(self, said: Judgements) -> list[Verdict]:
        """Write them; safe in the ledger when this returns.

        Raises:
            InputError: One of them is of no image of this batch; none is written.
        """
        ids = [judgement.job_id for judgement in said.judgements]
        # A page that was open before the batch changed may know images that it has no more.
        if strangers := set(ids) - await find_made(self._engine, ids):
            raise InputError(f"{min(strangers)[:12]}: is no image of this batch")
        # A clock that was turned back must not make new verdicts the older ones, also not those of another process
        # that has written meanwhile.
        found_us = await find_last_instant_us(self._engine)
        # Two verdicts of one image need two instants, or none of them is the later one.
        self._last_us = max(self._clock.now_us(), found_us + 1, self._last_us + 1)
        # Twice the same image in one message would be two rows of one instant: the last one counts.
        last = {judgement.job_id: judgement for judgement in said.judgements}
        judged = [
            # A page may send what no database keeps, such as NUL; a ledger with it in would count as damaged.
            Verdict(
                **judgement.model_dump(exclude={"note"}),
                note=None if judgement.note is None else sanitize_text(judgement.note),
                reviewer=sanitize_text(said.reviewer),
                at_us=self._last_us,
            )
            for judgement in last.values()
        ]
        await record_verdicts(self._engine, judged)
        return judged


def read_reviewer(name: str | None) -> str:
    """The name under which somebody judges: as it was given, else this user's login.

    Raises:
        InputError: It is too long to stand beside every verdict.
    """
    # As the ledger keeps it, or the page would take its own verdicts for somebody else's.
    given = sanitize_text(name or "").strip() or _get_login()
    if len(given) > MOST_REVIEWER_CHARACTERS:
        raise InputError(f"--reviewer: {len(given):,} characters. A name has at most {MOST_REVIEWER_CHARACTERS}.")
    return given


def _get_login() -> str:
    # A user without an entry in the password file is still somebody.
    try:
        return getpass.getuser()[:MOST_REVIEWER_CHARACTERS] or "unknown"
    except (KeyError, OSError):
        return "unknown"


def read_ids(lines: Iterable[str]) -> list[str]:
    """Ids out of a list: one on each line, without doubles; empty lines are nothing."""
    return list(dict.fromkeys(text for line in lines if (text := line.strip())))


async def judge_ids(
    out: Output,
    names: Sequence[str],
    *,
    reviewer: str,
    verdict: VerdictName | None,
    rating: int | None = None,
    note: str | None = None,
    clock: Clock | None = None,
) -> int:
    """Say the same of every image in a list of row ids, job ids or file names; gives their number.

    Raises:
        InputError: One of them is no image of the batch, there are several of that name, or the note is too long;
            nothing is written.
    """
    if note is not None and len(note) > MOST_NOTE_CHARACTERS:
        raise InputError(f"--note: {len(note):,} characters. A note has at most {MOST_NOTE_CHARACTERS:,}.")
    async with open_ledger(out.ledger_folder(), writing=True) as engine:
        found = await find_job_ids(engine, out, names)
        judge = Judge(engine, clock or Clock())
        # In parts, because one message of a browser is the bound everywhere.
        for chunk in split_chunks(found, MOST_AT_ONCE):
            some = [Judgement(job_id=job_id, verdict=verdict, rating=rating, note=note) for job_id in chunk]
            await judge.record(Judgements(reviewer=reviewer, judgements=some))
    return len(found)
