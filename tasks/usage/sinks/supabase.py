"""The sink behind Supabase's REST API, which is PostgREST; a PostgREST of one's own is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from tenacity import AsyncRetrying

from tasks.backends.client.answers import parse_json
from tasks.backends.client.proxies import UnusableProxy
from tasks.backends.client.transport import Transport
from tasks.core.addresses import find_cleartext_problem
from tasks.core.configuration.sections import UsageSettings
from tasks.core.errors import BatchStopped, UsageAway, UsageError, UsageRefused
from tasks.usage.groups import UsageGroup, add_up
from tasks.usage.query import UsageQuery
from tasks.usage.rows import UsageRow, parse_row
from tasks.usage.sinks.answers import build_refusal
from tasks.usage.sinks.refusals import PORTS, Place, read_variable

CONNECT_TIMEOUT_S = 10.0
CONNECTIONS = 4  # pushes are made one after the other
# Seconds; PostgREST answers a page within one.
ANSWER_TIMEOUT_S = 30.0
PAGE_ROWS = 1_000
"""Supabase's own limit (db-max-rows), which cuts an answer without a word; a server may have a smaller one."""
NEWEST_FIRST = ("order", "created_at.desc,id.desc"), ("limit", str(PAGE_ROWS))
TABLE = "imagen_usage"
PROFILES = {"Accept-Profile": "mai", "Content-Profile": "mai"}
REPLACE_KNOWN = {"Prefer": "resolution=merge-duplicates,return=minimal"}
"""An attempt that has ended anew since it was pushed replaces its row."""


class SupabaseSink:
    """The table through PostgREST."""

    def __init__(self, http: httpx.AsyncClient, place: Place, *, key: str, retrying: AsyncRetrying) -> None:
        """Talk through a client that knows address and key."""
        self._http = http
        self._place = place
        self._key = key
        self._retrying = retrying

    async def push(self, rows: Sequence[UsageRow]) -> None:
        """See `UsageSink.push`."""
        body = [row.as_dict() for row in rows]
        await self._retrying(self._send_once, "POST", {"on_conflict": "id"}, json=body, headers=REPLACE_KNOWN)

    async def groups(self, query: UsageQuery) -> list[UsageGroup]:
        """See `UsageSink.groups`. Added up here: servers have aggregates switched off unless told otherwise."""
        return await add_up(self.rows(query), query.by)

    async def rows(self, query: UsageQuery) -> AsyncIterator[UsageRow]:
        """See `UsageSink.rows`. Pages by the sort key until one is empty: a short page may be the server's limit."""
        window = _build_window(query)
        after: list[tuple[str, str]] = []
        last: tuple[int, str] | None = None
        while True:
            page: list[dict[str, Any]] = await self._retrying(self._read_page, [*window, *after, *NEWEST_FIRST])
            if not page:
                return
            rows = [parse_row(record) for record in page]
            # A server that takes no filters would give the same page for ever.
            if last is not None and (rows[0].created_at_us, rows[0].id) >= last:
                raise UsageError(f"{self._place.name} gives the same rows again; look at what answers there")
            for row in rows:
                yield row
            last = rows[-1].created_at_us, rows[-1].id
            at, name = page[-1]["created_at"], page[-1]["id"]
            after = [("or", f'(created_at.lt."{at}",and(created_at.eq."{at}",id.lt.{name}))')]

    async def _read_page(self, parameters: Any) -> list[dict[str, Any]]:
        answer = await self._send_once("GET", parameters)
        try:
            page = parse_json(answer)
        except ValueError:
            page = None
        if not isinstance(page, list) or not all(isinstance(record, dict) for record in page):
            raise UsageAway(f"{self._place.name} is away (its answer holds no rows)")
        return page

    async def _send_once(self, method: str, parameters: Any, **content: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, f"/{TABLE}", params=parameters, **content)
        except httpx.RequestError as exc:
            # It refuses every other try too.
            if isinstance(exc.__cause__, UnusableProxy):
                raise UsageRefused("setting", f"{self._place.name} cannot be reached ({exc})") from exc
            raise UsageAway(f"{self._place.name} cannot be reached ({str(exc) or type(exc).__name__})") from exc
        # Every answer of PostgREST that holds rows or took some has this header; a web page that says 200 has not.
        if not answer.is_success or "content-range" not in answer.headers:
            raise build_refusal(answer, self._place, key=self._key)
        return answer


@asynccontextmanager
async def open_supabase(settings: UsageSettings, retrying: AsyncRetrying) -> AsyncIterator[SupabaseSink]:
    """The sink that the environment variables lead to; nothing is sent before it is used.

    Raises:
        UsageRefused: A variable is missing or cannot be used.
    """
    needed_by = "the usage sink `supabase`"
    url = read_variable(settings.url_env, "usage.url_env", needed_by=needed_by)
    key = read_variable(settings.key_env, "usage.key_env", needed_by=needed_by)
    base = _parse_base(url, settings)
    if problem := find_cleartext_problem(str(base), settings.key_env):
        raise UsageRefused("setting", f"{settings.url_env}: {problem}")
    place = Place(
        f"the usage table at {base.host}", address=f"{settings.url_env} and usage.rest_path", key=settings.key_env
    )
    # Supabase's newer keys (sb_...) are no JWTs and are refused as bearer tokens (supabase.com/docs/guides/api/api-keys,
    # 2026-11).
    bearer = {} if key.startswith("sb_") else {"Authorization": f"Bearer {key}"}
    headers = {"apikey": key, "User-Agent": "imagen", **PROFILES, **bearer}
    timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        transport = Transport(limits=httpx.Limits(max_connections=CONNECTIONS))
    except BatchStopped as exc:
        raise UsageRefused("setting", exc.why) from exc
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=timeout, transport=transport) as http:
        yield SupabaseSink(http, place, key=key, retrying=retrying)


def _parse_base(url: str, settings: UsageSettings) -> httpx.URL:
    """The API's address: the project's with the path under it, or the full one as it is."""
    root, path = url.rstrip("/"), settings.rest_path.strip("/")
    # `rest_path` is added only where the address does not have it: users name either.
    full = root if not path or root.endswith(f"/{path}") else f"{root}/{path}"
    try:
        base = httpx.URL(full)
        usable = base.scheme in {"http", "https"} and bool(base.host) and (base.port or PORTS[0]) in PORTS
    except (httpx.InvalidURL, UnicodeError):  # the latter for a host that is none
        usable = False
    # A login has no use here, and of a password with / or @ a part would be taken for the host, and be shown.
    if not usable or "@" in url:
        raise UsageRefused(
            "setting", f"{settings.url_env} is not a URL without a login; write https://PROJECT.supabase.co"
        )
    return base


def _build_window(query: UsageQuery) -> list[tuple[str, str]]:
    since = [] if query.since is None else [("created_at", f"gte.{query.since.isoformat()}")]
    until = [] if query.until is None else [("created_at", f"lt.{query.until.isoformat()}")]
    return since + until
