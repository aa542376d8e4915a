"""Predictions that a look-up shows, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.places import read_all, read_first
from tasks.backends.http_api.sections import Lookup
from tasks.core.errors import JobError, OutputGone
from tasks.core.values import parse_identifier

MOST_PAGES = 1_000
"""Of one look: a list of one job's predictions that is longer has no end."""
MORE_AT = frozenset({
    "hasmore", "hasnext", "hasnextpage", "next", "nextpage", "nexturl", "nextcursor", "nexttoken", "nextpagetoken",
    "nextpageurl",
})  # fmt: skip
"""Names under which services say that a list goes on, without case and separators (read 2026-11)."""
PAGING_AT = frozenset({"pagination", "paging", "meta", "links", "pageinfo"})
"""Names of the objects that hold them."""

AskPage = Callable[[Mapping[str, Any], str], Awaitable[Answer]]
"""Gives the page of these placeholders, or at an address that the page before it has named; again where it breaks."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The findings of one look."""

    ids: Sequence[str]
    is_whole: bool
    """False where the list says that it goes on, and nothing says how."""


async def list_predictions(find: Lookup, values: Mapping[str, Any], ask: AskPage) -> Listed:
    """Read a list to its end.

    Args:
        find: Where its parts stand.
        values: The placeholders of the job.
        ask: Makes the call for each page.

    Raises:
        httpx.HTTPError: It cannot be read, which proves nothing.
    """
    ids: list[str] = []
    page, read = "", set[str]()
    while True:
        try:
            answer = await ask({**values, "page": page or None}, page)
        except OutputGone as exc:
            # A 404 is an answer where one prediction is asked for by our own name, and nothing but that.
            if find.items is None:
                return Listed(ids, is_whole=True)
            raise httpx.DecodingError("the look-up's list is not there") from exc
        except JobError as exc:
            raise httpx.DecodingError(str(exc)) from exc
        ids += _parse_ids(_list_items(answer, find), find, str(values["job_id"]))
        if find.next is None:
            return Listed(ids, is_whole=find.items is None or not _goes_on(answer.document))
        page = _read_next(answer, find)
        if not page:
            return Listed(ids, is_whole=True)
        # A page that names one that was read already would be followed for ever.
        if page in read or len(read) >= MOST_PAGES:
            raise httpx.DecodingError("the look-up's list has no end")
        read.add(page)


def _list_items(answer: Answer, find: Lookup) -> list[Any]:
    if find.items is None:
        return [answer.document]
    items = list(read_all(answer.document, find.items))
    items = items[0] if len(items) == 1 and isinstance(items[0], list) else items
    if not items and read_first(answer.document, find.items) is None:
        raise httpx.DecodingError("the look-up's answer holds no list")
    return items


def _parse_ids(items: Sequence[Any], find: Lookup, job_id: str) -> list[str]:
    """Ids of the job's entries; one that cannot be read may be the prediction that is looked for."""
    own = [item for item in items if find.job is None or job_id in str(read_first(item, find.job))]
    found = [parse_identifier(read_first(item, find.id)) for item in own]
    if None in found:
        # Left out, it would prove that nothing was created, and the job would be paid for again.
        raise httpx.DecodingError("the look-up shows an entry without an id that can be read")
    return [prediction_id for prediction_id in found if prediction_id is not None]


def _read_next(answer: Answer, find: Lookup) -> str:
    """The address or the mark of the next page; empty at the end."""
    value = answer.read(find.next)
    # null, false, 0 or an empty text: services end a list by each of them, and none begins with its second page.
    if not value:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise httpx.DecodingError("find.next names no page")
    return str(value)


def _goes_on(document: Any) -> bool:
    """True if a list says that there is more of it."""
    if not isinstance(document, dict):
        return False
    named = {"".join(filter(str.isalnum, str(name))).lower(): value for name, value in document.items()}
    return any(named.get(name) for name in MORE_AT) or any(
        isinstance(named.get(name), dict) and _goes_on(named[name]) for name in PAGING_AT
    )
