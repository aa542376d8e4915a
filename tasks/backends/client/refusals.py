"""The meaning of a service's own words and codes when it refuses, read from the usual places of many APIs.

Sources: captured answers of OpenAI, Google, xAI, fal, Azure, OpenRouter and LiteLLM's proxy 1.108.7, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx

from tasks.backends.client.payloads import is_text
from tasks.core.retry import parse_retry_after

WORDS_AT = ("message", "msg", "detail", "details", "error_description", "error", "errors", "reason", "title", "name")
"""Keys under which APIs say what went wrong, the most telling first."""
CODES_AT = ("code", "type", "status", "reason", "error_type", "error_code", "name", "error")
DELAYS_AT = {
    "retry_after": "",
    "retryAfter": "",
    "retry_after_seconds": "",
    "retryDelay": "",
    "retry_after_ms": "ms",
    "retryAfterMs": "ms",
}
"""Keys under which a body says how long to wait, with the unit that is not written beside the number."""
# Answers nest errors at most three levels deep; a bound holds for documents that somebody built to be deep.
DEEPEST, MOST_ITEMS = 5, 5
"""Depth of an answer, and items of a list in it, up to which words and codes are looked for."""
# A longer text beside `code` is a message, and words in messages are judged separately.
MOST_CODE_CHARS = 100

_NO_CREDIT = re.compile(
    r"insufficient[_ ](quota|credits?|balance|funds)|billing_hard_limit|billing_not_active|exhausted balance"
    r"|exceeded your current quota|out of credits|credit balance is too low|not[_ ](have[_ ])?enough[_ ](credits|balance)"
    r"|top.?up your|lack sufficient credits|payment_required|credit_limit|exceeded your monthly (included )?credits"
    r"|used all available credits|(monthly|project) spend(ing)? limit|key limit exceeded|requires billing to be enabled"
    r"|BILLING_DISABLED|only accessible to billed users",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(
    r"API_KEY_INVALID|invalid_api_key|no_db_connection|ACCESS_TOKEN_EXPIRED"
    r"|(incorrect|invalid|wrong|malformed|expired) (api[ _-]?key|auth\w* token|token provided)"
    r"|api[ _-]?key (not valid|is invalid|not found|expired)|please pass a valid api key",
    re.IGNORECASE,
)
_MODERATION = re.compile(
    r"moderation[_ ]blocked|content[_ ]?policy|content[_ ]?filter|content[_ ]?management policy|safety system"
    r"|responsible[_ ]?ai|flagged (as|by|for) (nsfw|sensitive|unsafe|moderation)|content[_ ]?moderat|request[_ ]moderat"
    r"|prohibited[_ ]content|image_safety|nsfw|(inappropriate|unsafe|sensitive)[_ ]?content|data[_ ]?inspection"
    # Chinese, Japanese and Korean services say it in their own language (Alibaba, Volcengine, Zhipu; read 2026-11).
    r"|敏感(内容|词|信息)|违规|内容审核|不適切な|有害な|부적절한",
    re.IGNORECASE,
)

# Only whole phrases: "blocked" alone also stands in refusals by moderation.
_BLOCKED = re.compile(
    r"(temporarily|has been|account( \S+)? is) (blocked|suspended|disabled|restricted)", re.IGNORECASE
)

_NO_ACCESS = re.compile(
    r"organi[sz]ation must be verified|verify (your )?organi[sz]ation"
    r"|(not|n't) have access to (the |this )?(model|project|deployment)|not_enabled|model_not_allowed",
    re.IGNORECASE,
)

_EXPIRED = re.compile(
    r"(token|session|credentials?)\b.{0,60}\bexpired|expired[ _]?(token|session|credential)|TOKEN_EXPIRED",
    re.IGNORECASE,
)


def find_words(document: Any) -> str:
    """Find the error text of an answer; empty where there is none."""
    return next(_walk_words(document, DEEPEST), "")


def find_codes(document: Any) -> frozenset[str]:
    """The codes and types that stand beside those words."""
    return frozenset(code for code in _walk_codes(document, DEEPEST) if len(code) <= MOST_CODE_CHARS)


def is_out_of_credit(words: str, codes: frozenset[str] = frozenset()) -> bool:
    """True if the account is empty, or its billing is not active."""
    return _matches(_NO_CREDIT, words, codes)


def is_bad_key(words: str, codes: frozenset[str] = frozenset()) -> bool:
    """True if the key is refused; some services say so with 400."""
    return _matches(_BAD_KEY, words, codes)


def is_expired(words: str) -> bool:
    """True if a token or session was good and has ended."""
    return bool(_EXPIRED.search(words))


def is_moderation(words: str, codes: frozenset[str] = frozenset()) -> bool:
    """True if the prompt or its image was refused for what it shows."""
    return _matches(_MODERATION, words, codes)


def is_blocked(words: str) -> bool:
    """True if the account itself is barred, whatever its key."""
    return bool(_BLOCKED.search(words))


def lacks_access(words: str, codes: frozenset[str] = frozenset()) -> bool:
    """True if the key is good and its account may not use the model, or has to be verified first."""
    return _matches(_NO_ACCESS, words, codes)


def is_web_page(answer: httpx.Response) -> bool:
    """True if a page for people came: something between here and the service has answered."""
    # Some proxies send a page without a content type.
    return "html" in answer.headers.get("content-type", "") or (
        is_text(answer.content) and answer.content.lstrip()[:1] == b"<"
    )


def find_retry_delay(document: Any, deepest: int = DEEPEST, *, now: datetime | None = None) -> float | None:
    """Seconds to wait as a body states them: `retry_after`, or the `retryDelay` of Google's details."""
    if not isinstance(document, dict) or not deepest:
        return None
    for name, unit in DELAYS_AT.items():
        stated = document.get(name)
        # Google writes durations as text with a unit: "48s" (recorded 2026).
        text = f"{stated}{unit}" if unit and not isinstance(stated, bool) else stated
        if isinstance(text, int | float | str) and (found := parse_retry_after(text, now=now)) is not None:
            return found
    details = document.get("details")
    inner = [document.get("error"), *(details if isinstance(details, list) else [])[:MOST_ITEMS]]
    return next((found for part in inner if (found := find_retry_delay(part, deepest - 1, now=now)) is not None), None)


def _matches(pattern: re.Pattern[str], words: str, codes: frozenset[str]) -> bool:
    return any(pattern.search(text) for text in (words, *codes))


def _walk_words(part: Any, deepest: int) -> Iterator[str]:
    if isinstance(part, str):
        if part.strip():
            yield part
    elif isinstance(part, list):
        if words := "; ".join(
            found for item in part[:MOST_ITEMS] if (found := next(_walk_words(item, deepest - 1), ""))
        ):
            yield words
    # The order of WORDS_AT decides, not that of the document: "error" often holds the object that has the message.
    elif isinstance(part, dict) and deepest:
        for name in WORDS_AT:
            yield from _walk_words(part.get(name), deepest - 1)


def _walk_codes(part: Any, deepest: int) -> Iterator[str]:
    if isinstance(part, list):
        for item in part[:MOST_ITEMS]:
            yield from _walk_codes(item, deepest)
    elif isinstance(part, dict) and deepest:
        for name, value in part.items():
            if name in CODES_AT and isinstance(value, str):
                yield value
            elif isinstance(value, dict | list) and name in {"error", "errors", "detail", "details"}:
                yield from _walk_codes(value, deepest - 1)
