"""Digest of a plan, by which a run finds out that the ledger has it already and nothing needs to be written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from tasks.core.records import PlannedJob
from tasks.plan.planner import PlanOptions

VERSION = 1
"""Raised where the ledger begins to keep something else of the same jobs."""


class PlanDigest:
    """Adds up the jobs of a plan in their order, with everything that the ledger keeps of them."""

    def __init__(self, options: PlanOptions) -> None:
        """Begin a plan with these options."""
        self._is_whole = options.limit is None
        self._sha256 = hashlib.sha256(repr((VERSION, options.salt)).encode())

    def add(self, item: PlannedJob) -> None:
        """Add the next job."""
        # A dataclass shows all its fields, so that a field that is added later counts too.
        self._sha256.update(repr(item).encode(errors="surrogatepass"))

    def add_each(self, items: Iterable[PlannedJob]) -> Iterator[PlannedJob]:
        """Pass the jobs on, each one added."""
        for item in items:
            self.add(item)
            yield item

    def compute(self) -> str | None:
        """The digest of what was added, 64 hex digits; None where a limit left a part of the manifest unread."""
        return self._sha256.hexdigest() if self._is_whole else None
