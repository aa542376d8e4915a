"""Batches that images may be reused from: folders, globs and places in buckets, each batch once, in the order given."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from tasks.core.errors import ImagenError, InputError
from tasks.core.safe_text import error_text
from tasks.core.text import format_count
from tasks.store.output import Output, parse_output
from tasks.store.output.bucket_url import parse_bucket_url

MOST_TOLD = 5
"""Lines about sources that cannot be used; the rest is counted."""
_WILDCARD = re.compile(r"[*?\[]")


class SourceList:
    """The batches that patterns name, and what is to be told about them."""

    def __init__(self, patterns: Sequence[str], own: Output) -> None:
        """Look at nothing yet; the batch in `own` is no source of itself."""
        self._patterns = patterns
        self._own = own
        self._problems: list[str] = []

    def find(self) -> Iterator[Output]:
        """Every batch once. A pattern that names none is told, and harms nothing."""
        seen = {self._own.address}
        for pattern in self._patterns:
            is_empty, told = True, len(self._problems)
            for out in self._expand(pattern):
                is_empty = False
                if out.address not in seen:
                    seen.add(out.address)
                    yield out
            # A place that cannot be read has its reason already.
            if is_empty and len(self._problems) == told:
                self.note_problem(pattern, "no batch is there")

    def note_problem(self, source: object, reason: object) -> None:
        """Remember why a source is skipped."""
        self._problems.append(f"reuse: {source} is skipped: {error_text(reason, most_chars=200)}")

    def list_problems(self) -> list[str]:
        """One line for each source that is skipped, the first ones in words."""
        hidden = len(self._problems) - MOST_TOLD
        more = [f"reuse: {format_count(hidden, 'more place')} skipped"] if hidden > 0 else []
        return [*self._problems[:MOST_TOLD], *more]

    def _expand(self, pattern: str) -> Iterator[Output]:
        try:
            for place in _list_places(pattern):
                yield from parse_output(place).below()
        # A bucket that is away must not keep a batch from being made.
        except (ImagenError, OSError) as exc:
            self.note_problem(pattern, exc)


def _list_places(pattern: str) -> Iterable[str]:
    """The places that a pattern stands for, each as `parse_output` takes it."""
    if (url := parse_bucket_url(pattern)) is not None:
        if not _WILDCARD.search(pattern):
            return [pattern]
        # Listed from the last folder before the first wildcard; buckets know no globs.
        base = pattern[: _WILDCARD.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]  # searched above
        if parse_bucket_url(base) is None:
            raise InputError(f"{url}: a pattern needs the name of its bucket")
        return [str(out) for out in parse_output(base).below() if fnmatchcase(str(out), pattern.rstrip("/"))]
    # A folder may have such a sign in its name.
    if Path(pattern).exists():
        return [pattern]
    return sorted(name for name in glob.glob(pattern) if Path(name).is_dir())  # noqa: PTH207  absolute patterns too
