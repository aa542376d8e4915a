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

WORDS_AT = (
    *("message", "msg", "status_msg", "detail", "details", "error_description", "error", "errors", "reason"),
    *("title", "name"),
)
"""Keys under which APIs say what went wrong, in whatever case, the most telling first."""
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
NESTED_AT = ("error", "errors", "detail", "details", "response", "base_resp", "output")
"""Keys of the objects that hold them (the last three: Tencent, MiniMax, Alibaba's tasks; read 2026-11)."""
CODE_HEADERS = ("x-amzn-errortype", "x-comfy-error-type")
"""Headers in which AWS and the Comfy Router name the code of an error, whose body may have words alone."""
# Answers nest errors at most three levels deep; a bound holds for documents that somebody built to be deep.
DEEPEST, MOST_ITEMS = 5, 5
"""Depth of an answer, and items of a list in it, up to which words and codes are looked for."""
# A longer text beside `code` is a message, and words in messages are judged separately.
MOST_CODE_CHARS = 100

_NO_CREDIT = re.compile(
    r"insufficient[_ ](quota|credits?|balance|funds)|billing_hard_limit|billing_not_active|exhausted balance"
    r"|exceeded your current quota|out of credits|credit balance is too low|not[_ ](have[_ ])?enough[_ ](credits|balance)"
    r"|balance (is )?(not enough|too low|insufficient)|not enough (funds|money)|\barrear"
    r"|top.?up your|lack sufficient credits|payment_required|credit_limit|exceeded your monthly (included )?credits"
    r"|used all available credits|(monthly|project) spend(ing)? limit|key limit exceeded|requires billing to be enabled"
    r"|BILLING_DISABLED|only accessible to billed users",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(
    r"API_KEY_INVALID|invalid_?api_?key|no_db_connection|ACCESS_TOKEN_EXPIRED|\blogin fail"
    r"|(incorrect|invalid|wrong|malformed|expired) (api[ _-]?key|auth\w* token|token provided)"
    r"|api[ _-]?key (not valid|is invalid|not found|expired)|please pass a valid api key",
    re.IGNORECASE,
)
_MODERATION = re.compile(
    r"moderation[_ ]blocked|content[_ ]?polic(y|ies)|content[_ ]?filter|content[_ ]?management policy|safety system"
    r"|content[_ ]security polic|responsible[_ ]?ai|flagged (as|by|for) (nsfw|sensitive|unsafe|moderation)"
    r"|content[_ ]?moderat|request[_ ]moderat|moderation (failed|check|endpoint)|prohibited[_ ]content|image_safety"
    r"|(inappropriate|unsafe|sensitive|illegal)[_ ]?content|sensitive words|new_sensitive|data[_ ]?inspection"
    # Runway (`SAFETY.INPUT.TEXT`), StepFun (`censorship_blocked`), Tencent (`TextIllegalDetected`), Volcengine.
    r"|\bsafety[._](input|output|text|image)|censorship|(text|image)(illegal|risk)det"
    r"|violat\w+ (the |our |openai's |google's |safety |content |usage |community |acceptable use )+(polic|guidelines)"
    # Not the name of a setting, such as nsfw_filter.
    r"|nsfw[_ ]?(content|detect|image|prompt|concept)|\bnsfw\b"
    # Services of other countries have codes too, most of them; these are the words of those seen without (read 2026-11).
    r"|敏感|违规|违禁|内容审核|内容安全|不適切な|有害な|コンテンツポリシー|부적절한|콘텐츠 정책"
    r"|contenido (inapropiado|sensible)|política de contenido|conteúdo impróprio|contenu (inapproprié|sensible)"
    r"|politique de contenu|unangemessene inhalte|inhaltsrichtlinie",
    re.IGNORECASE,
)

# Only whole phrases: "blocked" alone also stands in refusals by moderation, and "this request has been blocked by our
# content filters" (Bedrock) is one.
_BLOCKED = re.compile(
    r"(temporarily|account( \S+)? is"
    r"|(?<!request )(?<!prompt )(?<!image )(?<!content )(?<!input )(?<!output )has been)"
    r" (blocked|suspended|disabled|restricted)",
    re.IGNORECASE,
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


def read_codes(answer: httpx.Response, document: Any) -> frozenset[str]:
    """The codes of an error's body and headers."""
    return find_codes(document) | {answer.headers[name] for name in CODE_HEADERS if name in answer.headers}


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
        named = _lower_names(part)
        for name in WORDS_AT:
            yield from _walk_words(named.get(name), deepest - 1)
        # A text under such a name may be a good answer, and an object is looked into.
        for name in NESTED_AT:
            if isinstance(named.get(name), dict) and name not in WORDS_AT:
                yield from _walk_words(named[name], deepest - 1)


def _walk_codes(part: Any, deepest: int) -> Iterator[str]:
    if isinstance(part, list):
        for item in part[:MOST_ITEMS]:
            yield from _walk_codes(item, deepest)
    elif isinstance(part, dict) and deepest:
        for name, value in _lower_names(part).items():
            if name in CODES_AT and isinstance(value, str):
                yield value
            elif isinstance(value, dict | list) and name in NESTED_AT:
                yield from _walk_codes(value, deepest - 1)


def _lower_names(part: dict[str, Any]) -> dict[str, Any]:
    """The object with its names in small letters: AWS and Tencent write `Message` and `Code`."""
    return {str(name).lower(): value for name, value in part.items()}
