"""The meaning of an answer of PostgREST, or of the gateway before it: by its status, then by its code."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import httpx

from tasks.backends.client.answers import parse_json_object
from tasks.backends.client.refusals import is_web_page
from tasks.core.database import is_away_code
from tasks.core.errors import UsageAway, UsageError
from tasks.core.retry import parse_retry_after
from tasks.usage.sinks.refusals import Place, find_reason

AWAY_STATUSES = frozenset({408, 425, 429, 502, 503, 504, *range(520, 526), 530, 540, 544})
"""Besides HTTP's own: Cloudflare's of a server behind it (520 to 525, 530), Supabase's of a paused project (540) and of a
connection that took too long (544); supabase.com/docs, "HTTP status codes", read 2026-11."""
PAUSED = 540


def build_refusal(answer: httpx.Response, place: Place, *, key: str) -> UsageError:
    """The error that an answer other than the expected one stands for; `key` is never shown."""
    status, code = answer.status_code, _read_code(answer)
    # The answer may echo the key that it was asked with.
    words = _format_detail(answer).replace(key, "***")
    if status == PAUSED:
        words = f"{words}: the project is paused; restore it in Supabase's dashboard"
    # A 500 without a code of PostgreSQL's is a gateway's trouble, not an answer.
    is_bare = status == httpx.codes.INTERNAL_SERVER_ERROR and not code
    if status in AWAY_STATUSES or is_bare or is_away_code(code) or _has_lost_database(answer):
        return UsageAway(
            f"{place.name} is away ({words})", retry_after_s=parse_retry_after(answer.headers.get("retry-after"))
        )
    return place.refused(_find_reason(answer, key=key), words)


def _find_reason(answer: httpx.Response, *, key: str) -> str:
    known = find_reason(_read_code(answer))
    match answer.status_code:
        case httpx.codes.FORBIDDEN if is_web_page(answer):
            return "blocked"
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN if known != "permission":
            return "expired" if _has_expired(key) else "key"
        case httpx.codes.NOT_FOUND if known != "schema":
            # PostgREST before version 13 says no more than this of a table that it does not know, and of a wrong path.
            return "absence" if answer.text == "{}" else "setting"
        case httpx.codes.NOT_ACCEPTABLE:
            return "exposure"
        case status if status < httpx.codes.BAD_REQUEST:  # a redirect, or a page that is not PostgREST's
            return "setting"
    return known


def _has_lost_database(answer: httpx.Response) -> bool:
    """True if PostgREST gives an error without a code, which no error of PostgreSQL's or of its own is.

    It answers 400 so when the database's process dies under a running statement (seen with version 12.0.2, 2026-11).
    """
    return parse_json_object(answer).get("code") == ""


def _format_detail(answer: httpx.Response) -> str:
    # PostgREST puts the reason into `message`; other servers leave only the status.
    said = parse_json_object(answer).get("message") or answer.reason_phrase
    return " ".join(f"{answer.status_code} {_read_code(answer)} {said}".split())


def _read_code(answer: httpx.Response) -> str:
    return str(parse_json_object(answer).get("code") or "")


def _has_expired(key: str) -> bool:
    """True if the key is a JWT whose time is over: PostgREST before version 13 tells it in words only."""
    try:
        # Only `exp` matters: the signature is the server's business.
        claims = json.loads(base64.urlsafe_b64decode(key.split(".")[1] + "=="))
        return bool(claims["exp"] <= datetime.now(UTC).timestamp())
    except (IndexError, KeyError, TypeError, ValueError):
        return False
