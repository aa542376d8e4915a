"""Lost creates are looked for together: what the list shows is given to them one to one, at a cost that does not grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate.api import ReplicateApi
from tasks.backends.replicate.likeness import Comparison, SentInput
from tasks.backends.replicate.lost_creates import SHARE, LostCreates
from tasks.backends.replicate.options import ModelReference
from tasks.core.errors import Ambiguous
from tests.support.factories import FakeClock

MODEL = "black-forest-labs/flux-schnell"
SENT_AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
PATIENCE_S = 20.0
REQUESTS_PER_MIN = 3_000.0


@dataclass
class Account:
    """What the list shows; counts its pages."""

    clock: FakeClock
    listed: list[dict[str, Any]] = field(default_factory=list)
    others: int = 0
    """Predictions of others in the window."""
    loops: bool = False
    pages: int = 0

    async def list_created(self, since: datetime) -> AsyncIterator[list[dict[str, Any]]]:
        everything = [entry("other", f"other {n}") for n in range(self.others)] + self.listed
        for start in range(0, max(1, len(everything)), 100):
            self.pages += 1
            yield everything[start : start + 100]
        if self.loops:
            raise httpx.DecodingError("the list has no end")


@dataclass
class Known(Collection[str]):
    """Ids of other attempts; `is_complete` where every batch of the account is known."""

    ids: set[str] = field(default_factory=set)
    is_complete: bool = True
    sent: set[str] = field(default_factory=set)

    async def find_taken(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(self.ids.intersection(ids))

    async def find_sent(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(self.sent.intersection(ids))

    def __contains__(self, item: object) -> bool:
        return item in self.ids

    def __iter__(self) -> Any:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def entry(prediction_id: str, prompt: str, **fields: Any) -> dict[str, Any]:
    """A listed prediction."""
    return {"id": prediction_id, "model": MODEL, "input": {"prompt": prompt}, "created_at": prediction_id, **fields}


def open_finder(account: Account) -> LostCreates:
    """A finder on the account."""
    api: ReplicateApi = account  # type: ignore[assignment]  # the one call that it makes
    return LostCreates(
        api,
        Comparison(ModelReference(MODEL, None)),
        limiter=RateLimiter(None, now=account.clock.monotonic_s, sleep=account.clock.sleep),
        clock=account.clock.clock,
        patience_s=PATIENCE_S,
        requests_per_min=REQUESTS_PER_MIN,
    )


async def find_all(account: Account, *prompts: str, known: Known | None = None) -> list[str | Ambiguous | None]:
    """Look for creates of these prompts at once; ids, None or why it cannot be told."""
    finder, known = open_finder(account), Known() if known is None else known
    looks = [
        finder.find(SentInput(values={"prompt": prompt}), since=SENT_AT + timedelta(seconds=n), known=known)
        for n, prompt in enumerate(prompts)
    ]
    found = await asyncio.gather(*looks, return_exceptions=True)
    await finder.close()
    results: list[str | Ambiguous | None] = []
    for item in found:
        assert item is None or isinstance(item, (dict, Ambiguous)), item
        results.append(item["id"] if isinstance(item, dict) else item)
    return results


async def test_equal_inputs_are_given_out_one_to_one() -> None:
    """Three lost creates of one input and three predictions: each has one, the first sent the first made."""
    account = Account(FakeClock(), [entry(name, "fox") for name in ("c", "a", "b")])
    assert await find_all(account, "fox", "fox", "fox") == ["a", "b", "c"]


async def test_what_is_missing_is_certain_only_after_the_patience() -> None:
    """Two predictions for three creates: the third was never made, which is known when the list had its time."""
    account = Account(FakeClock(), [entry(name, "fox") for name in ("a", "b")])
    assert await find_all(account, "fox", "fox", "fox") == ["a", "b", None]
    assert account.clock.now_s >= PATIENCE_S


async def test_predictions_of_others_are_left_alone() -> None:
    """An id that is another attempt's is no candidate, whatever its input."""
    account = Account(FakeClock(), [entry("a", "fox"), entry("b", "fox")])
    assert await find_all(account, "fox", known=Known({"a"})) == ["b"]


async def test_one_too_many_is_taken_only_where_every_batch_is_known() -> None:
    """Nobody has the other one: its input is the same. Where another batch may have it, the job is held."""
    account = Account(FakeClock(), [entry("a", "fox"), entry("b", "fox")])
    assert await find_all(account, "fox") == ["a"]
    [problem] = await find_all(account, "fox", known=Known(is_complete=False))
    assert isinstance(problem, Ambiguous)
    assert "2 predictions" in str(problem)


async def test_a_create_under_way_may_be_the_other_one() -> None:
    """Two predictions, one lost create and one whose answer is on its way: each gets one."""
    account = Account(FakeClock(), [entry("a", "fox"), entry("b", "fox")])
    finder, sent = open_finder(account), SentInput(values={"prompt": "fox"})
    with finder.sending(sent):
        found = await finder.find(sent, since=SENT_AT, known=Known(is_complete=False))
    await finder.close()
    assert found is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"input": {}, "data_removed": True},
        {"input": None},
        {"model": "replicate-internal/flux"},
        {"input": {"prompt": "fox", "seed": 1}},
    ],
)
async def test_what_cannot_be_told_apart_is_held(fields: dict[str, Any]) -> None:
    """Its data is gone, its name is unknown, or nobody knows what else was asked for: never paid for again."""
    account = Account(FakeClock(), [entry("a", "fox") | fields])
    [problem] = await find_all(account, "fox")
    assert isinstance(problem, Ambiguous)
    assert await find_all(account, "fox", known=Known({"a"})) == [None]


async def test_a_name_of_the_services_own_is_learned_from_the_list() -> None:
    """An earlier prediction of this ledger bears it, so a lost one under that name is ours."""
    name = "replicate-internal/flux"
    account = Account(FakeClock(), [entry("a", "fox", model=name), entry("b", "owl", model=name)])
    assert await find_all(account, "fox", known=Known({"b"}, sent={"b"})) == ["a"]


async def test_a_list_without_an_end_proves_nothing() -> None:
    """What it shows is adopted; what it does not show may be there all the same."""
    account = Account(FakeClock(), [entry("a", "fox")], loops=True)
    found, missing = await find_all(account, "fox", "owl")
    assert found == "a"
    assert isinstance(missing, Ambiguous)


async def test_images_that_went_in_tell_jobs_apart() -> None:
    """Two creates that differ in an upload whose address is unknown: no prediction is given to either."""
    account = Account(FakeClock(), [entry("a", "fox") | {"input": {"prompt": "fox", "image": "https://x"}}])
    finder = open_finder(account)
    sent = [
        SentInput(values={"prompt": "fox"}, unknown=frozenset({"image"}), files=(digest * 64,)) for digest in ("1", "2")
    ]
    looks = (finder.find(item, since=SENT_AT, known=Known()) for item in sent)
    problems = await asyncio.gather(*looks, return_exceptions=True)
    await finder.close()
    assert all(isinstance(problem, Ambiguous) for problem in problems)


async def test_the_cost_of_looking_does_not_grow_with_what_is_lost() -> None:
    """One lost create or two hundred: the same pages, and no more of them than a tenth of the account's requests."""
    pages = []
    for lost in (1, 200):
        account = Account(FakeClock(), others=2_000)
        assert await find_all(account, *(f"fox {n}" for n in range(lost))) == [None] * lost
        pages.append(account.pages)
        allowed = SHARE * REQUESTS_PER_MIN / 60 * account.clock.now_s
        assert account.pages <= allowed + 21  # the last sweep is paid for by the pause after it
    assert pages[0] == pages[1]


async def test_an_error_of_its_own_for_each() -> None:
    """The engine writes into it what the attempt cost."""
    account = Account(FakeClock(), [entry("a", "fox") | {"input": None}])
    first, second = await find_all(account, "fox", "fox")
    assert isinstance(first, Ambiguous)
    assert first is not second
