"""The list of an account's batches, looked at for many jobs of several instances."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import httpx

from tasks.backends.client.batches.lists import BatchList
from tasks.backends.client.batches.service import BatchService
from tasks.core.errors import Ambiguous
from tests.support.factories import FakeClock

SINCE = datetime(2026, 9, 1, tzinfo=UTC)


@dataclass
class Account:
    """A service whose list has two batches, and counts what it is asked."""

    asked: Counter[str] = field(default_factory=Counter)
    is_away: bool = False

    async def created_since(self, since: datetime) -> list[dict[str, Any]]:
        """Both, after a moment in which others ask too."""
        self.asked["list"] += 1
        await asyncio.sleep(0)
        self._answer()
        return [{"id": name, "created_at": since.timestamp()} for name in ("b1", "b2")]

    async def read_names(self, batch: dict[str, Any]) -> frozenset[str]:
        """Names that say which batch they are of."""
        self.asked[batch["id"]] += 1
        await asyncio.sleep(0)
        self._answer()
        return frozenset({f"{batch['id']}-1", f"{batch['id']}-2"})

    def _answer(self) -> None:
        if self.is_away:
            raise httpx.ConnectError("away")


async def test_many_jobs_share_a_look() -> None:
    """However many ask at once, of whatever instance: one reading of the list, and one of each batch's lines."""
    account = Account()
    batches = BatchList(cast("BatchService", account), clock=FakeClock().clock)
    stems = [("b1-",), ("b2-2",), ("none",)] * 50
    found = await asyncio.gather(*(batches.find_named(stem, SINCE, account.read_names) for stem in stems))
    assert [sorted(ids) for ids in found[:3]] == [["b1/b1-1", "b1/b1-2"], ["b2/b2-2"], []]
    assert account.asked == {"list": 1, "b1": 1, "b2": 1}


async def test_many_jobs_share_a_failure() -> None:
    """A service that is away is tried for one of them, and not for each in turn, which took hours for a batch's jobs."""
    account = Account(is_away=True)
    batches = BatchList(cast("BatchService", account), clock=FakeClock().clock)
    looks = (batches.find_named(("b1",), SINCE, account.read_names) for _ in range(100))
    ended = await asyncio.gather(*looks, return_exceptions=True)
    assert all(isinstance(error, Ambiguous) for error in ended)
    tries = account.asked["list"]
    account.is_away = False
    # Whoever asks later is answered anew.
    assert await batches.find_named(("b1",), SINCE, account.read_names)
    assert account.asked["list"] == tries + 1
    assert tries < 10
