"""Lost creates are looked for together: what the list shows is given to them one to one, at a cost that does not grow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from tasks.backends.client.rate_limiter import RateLimiter
from tasks.backends.replicate.api import AskPage, Page, ReplicateApi
from tasks.backends.replicate.likeness import Comparison, SentInput
from tasks.backends.replicate.list_reading import SKEW, Wanted, Window
from tasks.backends.replicate.lost_creates import SHARE, LostCreates
from tasks.backends.replicate.options import ModelReference
from tasks.core.errors import Ambiguous
from tests.support.factories import FakeClock

MODEL = "black-forest-labs/flux-schnell"
SENT_AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
EVER_SINCE = Window(SENT_AT)
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
    loops_until_s: float = float("inf")
    """By the clock; the list is whole from then on."""
    down_until_s: float = 0.0
    """By the clock; until then the list cannot be read."""
    page_s: float = 0.0
    """The time that each page takes."""
    pages: int = 0
    broken_pages: Collection[int] = ()
    """Numbers of the calls for a page that are answered with 500, from 1."""

    async def list_created(self, since: datetime, *, ask: AskPage) -> AsyncIterator[list[dict[str, Any]]]:
        everything = [entry("other", f"other {n}") for n in range(self.others)] + self.listed
        for start in range(0, max(1, len(everything)), 100):
            page = await ask(partial(self._get_page, everything[start : start + 100]))
            yield page["results"]
        if self.loops and self.clock.now_s < self.loops_until_s:
            raise httpx.DecodingError("the list has no end")

    async def _get_page(self, entries: list[dict[str, Any]]) -> Page:
        if self.clock.now_s < self.down_until_s:
            raise httpx.ReadTimeout("")
        self.pages += 1
        await self.clock.clock.sleep(self.page_s)
        if self.pages in self.broken_pages:
            raise httpx.HTTPStatusError("", request=httpx.Request("GET", "http://x"), response=httpx.Response(500))
        return {"results": entries}

    async def get(self, prediction_id: str) -> dict[str, Any]:
        """What the list shows, as that may be all that the service has left."""
        return next(answer for answer in self.listed if answer["id"] == prediction_id)


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
        limiter=RateLimiter(None, now=account.clock.monotonic_s, sleep=account.clock.sleep),
        clock=account.clock.clock,
        requests_per_min=REQUESTS_PER_MIN,
    )


def want(prompt: str, comparison: Comparison | None = None, **sent: Any) -> Wanted:
    """An input that is looked for."""
    comparison = comparison or Comparison(ModelReference(MODEL, None))
    return Wanted(SentInput(values={"prompt": prompt}, **sent), comparison)


async def find(finder: LostCreates, wanted: Wanted, known: Known, window: Window = EVER_SINCE) -> Any:
    """Look for one create."""
    return await finder.find(wanted, window=window, known=known, patience_s=PATIENCE_S)


async def find_all(account: Account, *prompts: str, known: Known | None = None) -> list[str | Ambiguous | None]:
    """Look for creates of these prompts at once; ids, None or why it cannot be told."""
    finder, known = open_finder(account), Known() if known is None else known
    comparison = Comparison(ModelReference(MODEL, None))
    looks = [
        find(finder, want(prompt, comparison), known, Window(SENT_AT + timedelta(seconds=n)))
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


async def test_a_page_that_breaks_is_asked_for_again_and_not_the_whole_list() -> None:
    """Of 70 pages each tenth call fails: the create is found all the same, in one reading."""
    account = Account(FakeClock(), [entry("a", "fox")], others=6_950, broken_pages=range(10, 80, 10))
    assert await find_all(account, "fox") == ["a"]
    assert account.pages == 70 + 7


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
    finder, sent = open_finder(account), want("fox")
    with finder.sending(sent):
        found = await find(finder, sent, Known(is_complete=False))
    await finder.close()
    assert found is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"input": {}, "data_removed": True},
        {"input": None},
        {"model": "replicate-internal/flux"},
        {"input": {"prompt": "fox", "seed": 1}},
        {"input": {"prompt": ["fox"]}},
        {"model": {"name": MODEL}},
    ],
)
async def test_what_cannot_be_told_apart_is_held(fields: dict[str, Any]) -> None:
    """Its data is gone, its name is unknown, or nobody knows what else was asked for: never paid for again."""
    account = Account(FakeClock(), [entry("a", "fox") | fields])
    [problem] = await find_all(account, "fox")
    assert isinstance(problem, Ambiguous)
    assert await find_all(account, "fox", known=Known({"a"})) == [None]


@pytest.mark.parametrize("broken", [{}, {"id": None}, {"id": {"a": 1}}, {"id": 7}, {"id": "../x"}, {"id": "x" * 1000}])
async def test_an_entry_without_an_id_is_no_proof_that_nothing_was_made(broken: dict[str, Any]) -> None:
    """It may be the lost prediction; it is somebody else's only where its input says so."""
    nameless = entry("a", "fox") | {"id": None} | broken if broken else {}
    fox, owl = await find_all(Account(FakeClock(), [nameless]), "fox", "owl")
    assert isinstance(fox, Ambiguous)
    assert isinstance(owl, Ambiguous) == (not broken)


async def test_an_answer_that_gives_itself_another_id_is_about_the_one_asked_for() -> None:
    """A list shows a prediction without its input, and its own answer has the input but an odd id."""

    class Renaming(Account):
        async def get(self, prediction_id: str) -> dict[str, Any]:
            return entry("a", "fox") | {"id": {"id": []}}

    assert await find_all(Renaming(FakeClock(), [entry("a", "fox", input=None)]), "fox") == ["a"]


async def test_a_prediction_that_two_pages_show_is_given_out_once() -> None:
    """Pages shift while they are read: one prediction is never two jobs' image."""
    account = Account(FakeClock(), [entry("a", "fox"), entry("a", "fox")])
    assert await find_all(account, "fox", "fox") == ["a", None]


async def test_a_name_of_the_services_own_is_learned_from_the_list() -> None:
    """An earlier prediction of this ledger bears it, so a lost one under that name is ours."""
    name = "replicate-internal/flux"
    account = Account(FakeClock(), [entry("a", "fox", model=name), entry("b", "owl", model=name)])
    assert await find_all(account, "fox", known=Known({"b"}, sent={"b"})) == ["a"]


@pytest.mark.parametrize("answered", [entry("own", "hen"), entry("own", "hen.")], ids=["renamed", "rewritten"])
async def test_an_own_answer_does_not_make_the_rest_anothers(answered: dict[str, Any]) -> None:
    """The service writes the lost create down unlike the answered one: under a name of its own, or its prompt changed."""
    comparison = Comparison(ModelReference(MODEL, None))
    comparison.learn(answered, want("hen").sent)
    listed = entry("a", "owl.") if answered["input"]["prompt"] != "hen" else entry("a", "owl", model="internal/flux")
    finder = open_finder(Account(FakeClock(), [listed]))
    with pytest.raises(Ambiguous):
        await find(finder, want("owl", comparison), Known())
    await finder.close()


async def test_a_list_without_an_end_proves_nothing() -> None:
    """What it shows is adopted; what it does not show may be there all the same."""
    account = Account(FakeClock(), [entry("a", "fox")], loops=True)
    found, missing = await find_all(account, "fox", "owl")
    assert found == "a"
    assert isinstance(missing, Ambiguous)


async def test_a_list_that_is_whole_again_is_believed() -> None:
    """One bad reading holds no job: the list is read on for a while."""
    account = Account(FakeClock(), loops=True, loops_until_s=1.5 * PATIENCE_S)
    assert await find_all(account, "owl") == [None]


async def test_one_bad_reading_holds_no_job_however_late_it_comes() -> None:
    """On a busy machine the first reading that counts may come long after the patience."""
    account = Account(FakeClock(), loops=True, loops_until_s=9 * PATIENCE_S, page_s=4 * PATIENCE_S)
    assert await find_all(account, "owl") == [None]


@pytest.mark.parametrize(("down_s", "is_held"), [(0.9 * PATIENCE_S, False), (90 * PATIENCE_S, True)])
async def test_a_list_that_is_down_holds_nobody_before_the_patience(down_s: float, is_held: bool) -> None:  # noqa: FBT001  a case
    """It may be back soon: a look-up that has just begun reads it again, and one that has waited long enough is held."""
    account = Account(FakeClock(), [entry("a", "fox")])
    account.down_until_s = account.clock.now_s + down_s
    [found] = await find_all(account, "fox")
    assert isinstance(found, Ambiguous) if is_held else found == "a"


async def test_images_that_went_in_tell_jobs_apart() -> None:
    """Two creates that differ in an upload whose address is unknown: no prediction is given to either."""
    account = Account(FakeClock(), [entry("a", "fox") | {"input": {"prompt": "fox", "image": "https://x"}}])
    finder = open_finder(account)
    sent = [want("fox", unknown=frozenset({"image"}), files=(digest * 64,)) for digest in ("1", "2")]
    looks = (find(finder, item, Known()) for item in sent)
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


async def test_looks_for_what_does_not_show_up_grow_apart() -> None:
    """Reading the same pages four times a second tells nothing new; one that is lost meanwhile is looked for at once."""
    account = Account(FakeClock(), others=50)
    finder, begun_s = open_finder(account), account.clock.now_s
    missing = asyncio.create_task(find(finder, want("owl"), Known()))
    while account.clock.now_s < begun_s + 0.7 * PATIENCE_S:
        await asyncio.sleep(0)
    assert account.pages <= 8
    account.listed.append(entry("a", "fox"))
    assert (await find(finder, want("fox"), Known()))["id"] == "a"
    assert not missing.done()
    assert await missing is None
    assert account.pages <= 12
    await finder.close()


async def test_an_error_of_its_own_for_each() -> None:
    """The engine writes into it what the attempt cost."""
    account = Account(FakeClock(), [entry("a", "fox") | {"input": None}])
    first, second = await find_all(account, "fox", "fox")
    assert isinstance(first, Ambiguous)
    assert first is not second


DEV = Comparison(ModelReference("black-forest-labs/flux-dev", None))


async def test_instances_of_one_account_share_a_sweep() -> None:
    """Two models that lose creates at once cost the pages of one, and each gets its own prediction."""
    account = Account(FakeClock(), [entry("a", "fox"), entry("b", "fox", model=DEV.model.name)], others=2_000)
    finder = open_finder(account)
    schnell = Comparison(ModelReference(MODEL, None), names={MODEL})
    dev = Comparison(DEV.model, names={DEV.model.name})
    found = await asyncio.gather(*(find(finder, want("fox", model), Known()) for model in (dev, schnell)))
    await finder.close()
    assert [item["id"] for item in found] == ["b", "a"]
    assert account.pages == 21


WINDOW = Window(SENT_AT, SENT_AT + timedelta(seconds=5))


@pytest.mark.parametrize(
    ("created_at", "is_held"),
    [
        (SENT_AT - SKEW - timedelta(seconds=1), False),
        (SENT_AT - SKEW, True),
        (SENT_AT + timedelta(seconds=5) + SKEW, True),
        (SENT_AT + timedelta(seconds=6) + SKEW, False),
        (None, True),
    ],
)
async def test_a_prediction_without_data_matters_only_where_it_can_be_ours(
    created_at: datetime | None,
    is_held: bool,  # noqa: FBT001  a case
) -> None:
    """Before the create left, or after it can have arrived, it is somebody else's. Without a time it may be anybody's."""
    time = None if created_at is None else created_at.isoformat()
    account = Account(FakeClock(), [entry("x", "?", input={}, data_removed=True) | {"created_at": time}])
    finder = open_finder(account)
    results = await asyncio.gather(find(finder, want("fox"), Known(), WINDOW), return_exceptions=True)
    assert isinstance(results[0], Ambiguous) == is_held
    assert await find(finder, want("fox"), Known({"x"}), WINDOW) is None
    await finder.close()
