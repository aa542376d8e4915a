"""The list of an account's batches, looked at for many jobs of several instances."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import httpx

from tasks.backends.client.batches.lists import BatchList
from tasks.backends.client.batches.service import AskPage, BatchService
from tasks.core.errors import Ambiguous
from tests.support.factories import FakeClock

SINCE = datetime(2026, 9, 1, tzinfo=UTC)


@dataclass
class Account:
    """A service whose list has two batches, and counts what it is asked."""

    asked: Counter[str] = field(default_factory=Counter)
    is_away: bool = False
    broken: Counter[str] = field(default_factory=Counter)
    """How often each page breaks before it comes."""

    async def created_since(self, since: datetime, ask: AskPage) -> list[dict[str, Any]]:
        """One on each page, after a moment in which others ask too."""

        async def get(page: str) -> str:
            self.asked[page] += 1
            await asyncio.sleep(0)
            self._answer(page)
            return page.removeprefix("page of ")

        pages = [await ask(partial(get, page)) for page in ("page of b1", "page of b2")]
        return [{"id": name, "created_at": since.timestamp()} for name in pages]

    async def read_names(self, batch: dict[str, Any]) -> frozenset[str]:
        """Names that say which batch they are of."""
        self.asked[batch["id"]] += 1
        await asyncio.sleep(0)
        self._answer(batch["id"])
        return frozenset({f"{batch['id']}-1", f"{batch['id']}-2"})

    def _answer(self, name: str) -> None:
        if self.is_away or self.asked[name] <= self.broken[name]:
            raise httpx.ConnectError("away")


async def test_many_jobs_share_a_look() -> None:
    """However many ask at once, of whatever instance: one reading of the list, and one of each batch's lines."""
    account = Account()
    batches = BatchList(cast("BatchService", account), clock=FakeClock().clock)
    stems = [("b1-",), ("b2-2",), ("none",)] * 50
    found = await asyncio.gather(*(batches.find_named(stem, SINCE, account.read_names) for stem in stems))
    assert [sorted(ids) for ids in found[:3]] == [["b1/b1-1", "b1/b1-2"], ["b2/b2-2"], []]
    assert account.asked == {"page of b1": 1, "page of b2": 1, "b1": 1, "b2": 1}


async def test_a_page_that_breaks_is_asked_for_again_by_itself() -> None:
    """The pages before it are not read anew: of a hundred pages one often breaks, and few readings would end."""
    account = Account(broken=Counter({"page of b2": 3}))
    batches = BatchList(cast("BatchService", account), clock=FakeClock().clock)
    assert await batches.find_named(("b2-1",), SINCE, account.read_names) == ["b2/b2-1"]
    assert (account.asked["page of b1"], account.asked["page of b2"]) == (1, 4)


async def test_many_jobs_share_a_failure() -> None:
    """A service that is away is tried for one of them, and not for each in turn, which took hours for a batch's jobs."""
    account = Account(is_away=True)
    batches = BatchList(cast("BatchService", account), clock=FakeClock().clock)
    looks = (batches.find_named(("b1",), SINCE, account.read_names) for _ in range(100))
    ended = await asyncio.gather(*looks, return_exceptions=True)
    assert all(isinstance(error, Ambiguous) for error in ended)
    tries = account.asked["page of b1"]
    account.is_away = False
    # Whoever asks later is answered anew.
    assert await batches.find_named(("b1",), SINCE, account.read_names)
    assert account.asked["page of b1"] == tries + 1
    assert tries < 10
