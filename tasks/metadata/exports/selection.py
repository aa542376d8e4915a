"""The part of a batch that an export takes: by verdict, by a list of ids, by a condition.

Takes what the user asked for, gives the chosen jobs. They are chosen once, so that an export that reads the ledger
twice sees the same jobs both times.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from string import hexdigits
from typing import Literal

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.errors import InputError
from tasks.core.text import format_count
from tasks.ledger.lookup import SHORTEST_PREFIX
from tasks.ledger.queries import read_chosen_pages, read_job_pages
from tasks.ledger.scores import parse_kept
from tasks.metadata.exports.extra_columns import ExtraColumns
from tasks.metadata.exports.where import RowFilter

MOST_NAMED = 10
"""Names in a message."""

WantedVerdict = Literal["pick", "reject", "none"]
"""A verdict of a review; `none`: not judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The wanted jobs. All parts must hold; None: any."""

    verdict: WantedVerdict | None = None
    ids: Sequence[str] | None = None
    """Row ids, job ids or their first digits, names of image files."""
    where: str | None = None
    """A condition in SQLite's expression language."""
    everything: bool = False
    """Also images that `keep` or `reject` left out. Images that are named by `ids` always count."""

    @property
    def is_whole(self) -> bool:
        """True where no part of the batch is chosen."""
        return self.verdict is None and self.ids is None and self.where is None

    @property
    def takes_not_kept(self) -> bool:
        """True where images that gates left out count too."""
        return self.everything or self.ids is not None


@dataclass(frozen=True, slots=True)
class SelectedJobs:
    """The jobs of an export, to be read as often as it needs."""

    engine: AsyncEngine
    chosen: frozenset[str] | None = None
    """Their job ids; None: all of the batch."""
    takes_not_kept: bool = False

    async def read_pages(self) -> AsyncIterator[Sequence[RowMapping]]:
        """The jobs in manifest order, some at a time."""
        pages = read_job_pages(self.engine) if self.chosen is None else read_chosen_pages(self.engine, self.chosen)
        async for page in pages:
            yield [row for row in page if self._takes(row)]

    def _takes(self, row: RowMapping) -> bool:
        return self.takes_not_kept or parse_kept(row["scores"]) is not False


async def select_jobs(engine: AsyncEngine, out: object, wanted: Selection) -> SelectedJobs:
    """Choose the jobs.

    Raises:
        InputError: A name in the list is no job of the batch, or the condition cannot be evaluated.
    """
    if wanted.is_whole:
        return SelectedJobs(engine, takes_not_kept=wanted.everything)
    names = None if wanted.ids is None else _IdMatcher(str(out), wanted.ids)
    chosen: set[str] = set()
    if wanted.where is None:
        async for page in read_job_pages(engine):
            _add_chosen(chosen, page, wanted, names)
    else:
        extra = ExtraColumns(wanted.where)
        async for page in read_job_pages(engine):
            extra.add(page)
        with closing(RowFilter(wanted.where, extra)) as condition:
            async for page in read_job_pages(engine):
                matching = condition.match(page)
                _add_chosen(chosen, page, wanted, names, matching)
    jobs = frozenset(chosen if names is None else chosen & names.resolve())
    return SelectedJobs(engine, jobs, takes_not_kept=wanted.takes_not_kept)


def _add_chosen(
    chosen: set[str],
    page: Sequence[RowMapping],
    wanted: Selection,
    names: _IdMatcher | None,
    matching: set[str] | None = None,
) -> None:
    verdict = None if wanted.verdict == "none" else wanted.verdict
    for row in page:
        if names is not None:
            names.add(row)
        if (wanted.verdict is None or row["verdict"] == verdict) and (matching is None or row["job_id"] in matching):
            chosen.add(row["job_id"])


@dataclass
class _IdMatcher:
    """Finds the jobs of a list of names in one pass; a row's id means all of its samples."""

    out: str
    names: Sequence[str]
    found: dict[str, set[str]] = field(default_factory=dict)
    """Names that are a row's id or a file, to their jobs."""
    by_prefix: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A file name as a shell completes it has the folder in front.
        self.keys = {name: name.removeprefix("./").removeprefix(f"{self.out}/") for name in self.names}
        self.wanted = {*self.names, *self.keys.values()}
        starts = {name.lower() for name in self.names if len(name) >= SHORTEST_PREFIX and set(name) <= set(hexdigits)}
        self.starts, self.lengths = starts, sorted({len(start) for start in starts})

    def add(self, row: RowMapping) -> None:
        """Look at one job."""
        for name in {row["id"], row["file_name"]} & self.wanted:
            self.found.setdefault(name, set()).add(row["job_id"])
        for length in self.lengths:
            if (start := row["job_id"][:length]) in self.starts:
                self.by_prefix.setdefault(start, set()).add(row["job_id"])

    def resolve(self) -> set[str]:
        """The jobs of all names."""
        jobs: set[str] = set()
        missing = []
        for name in self.names:
            # A row's id may look like hex digits: it comes first.
            here = self.found.get(name) or self.found.get(self.keys[name]) or set()
            begun = set() if here else self.by_prefix.get(name.lower(), set())
            if len(begun) > 1:
                raise InputError(f"--ids: {name!r} begins the job_id of {len(begun)} images; write more of its digits")
            here = here | begun
            if not here:
                missing.append(name)
            jobs |= here
        if missing:
            shown = ", ".join(map(repr, missing[:MOST_NAMED])) + (", ..." if len(missing) > MOST_NAMED else "")
            raise InputError(
                f"--ids: {format_count(len(missing), 'name')} of the list {'is' if len(missing) == 1 else 'are'} "
                f"no row id, job_id or image file of {self.out}: {shown}"
            )
        return jobs
