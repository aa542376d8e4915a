"""The answer of a judge: outside data, bounded and read for one word or number; and what it cost."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tasks.core.errors import JobError
from tasks.core.judge import JudgeSettings
from tasks.core.money import to_micros
from tasks.core.safe_text import error_text
from tasks.core.values import parse_count, parse_number
from tasks.ledger.scores import Value

MOST_CONTENT_CHARS = 20_000
MOST_REASON_CHARS = 300
MOST_TOKENS = 10_000_000
MOST_NUMBER = 10.0
_FENCED = re.compile(r"\{.*\}", re.DOTALL)
_FIRST_WORD = re.compile(r"\W*(yes|no|true|false)\b", re.IGNORECASE)
_WORDS = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True, slots=True)
class Judgement:
    """An answer that can be used."""

    value: bool | float
    reason: str

    def as_results(self, name: str, question: str) -> dict[str, Value]:
        """Results of the score; the question stands beside them, because it is another one for each row."""
        found: dict[str, Value] = {name: self.value, f"{name}_question": error_text(question, most_chars=1_000)}
        return found | ({f"{name}_reason": self.reason} if self.reason else {})


def read_cost_micros(settings: JudgeSettings, body: Any) -> int | None:
    """The cost of a call, in millionths of a dollar: by its tokens where they have prices; None: not known."""
    usage = body.get("usage") if isinstance(body, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    prices = (("prompt_tokens", settings.input_million_tokens), ("completion_tokens", settings.output_million_tokens))
    counts = [parse_count(usage.get(name), most=MOST_TOKENS) for name, _ in prices]
    if any(price for _, price in prices) and None not in counts:
        # A dollar for a million tokens is one millionth for each.
        return round(sum((count or 0) * price for count, (_, price) in zip(counts, prices, strict=True)))
    return to_micros(settings.price_usd)


def parse_judgement(settings: JudgeSettings, body: Any, *, cost_micros: int | None) -> Judgement:
    """The judgement in the body of an answer.

    Raises:
        JobError: It holds none. It was paid for, and the same question would be answered alike.
    """
    content = _read_content(body, cost_micros)
    said, reason = _find_answer(content)
    value = _parse_yes_no(said) if settings.answer == "yes_no" else _parse_number(said)
    if value is None:
        raise JobError(
            f"no answer is in {error_text(content, most_chars=200)!r}", kind="no_answer", cost_micros=cost_micros
        )
    return Judgement(value, error_text(reason, most_chars=MOST_REASON_CHARS) if isinstance(reason, str) else "")


def _read_content(body: Any, cost_micros: int | None) -> str:
    try:
        choice = body["choices"][0]
        message = choice["message"]
        refusal = message.get("refusal")
        content = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise JobError("the answer is no chat completion", kind="unreadable_answer", cost_micros=cost_micros) from None
    if refusal or choice.get("finish_reason") == "content_filter":
        words = error_text(refusal or "its filter", most_chars=200)
        raise JobError(f"the model refuses ({words})", kind="moderation", cost_micros=cost_micros)
    if isinstance(content, list):  # in parts, as some servers send it
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str) or not content.strip():
        raise JobError("the answer is empty", kind="no_answer", cost_micros=cost_micros)
    return content[:MOST_CONTENT_CHARS]


def _find_answer(content: str) -> tuple[Any, Any]:
    """The answer and its reason: from JSON, also in a code fence or a sentence, else the text itself."""
    found = _FENCED.search(content)
    try:
        document = json.loads(found[0]) if found else None
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        fields = {str(name).lower(): value for name, value in document.items()}
        return fields.get("answer"), fields.get("reason")
    return content, None


def _parse_yes_no(said: Any) -> bool | None:
    if isinstance(said, bool):
        return said
    found = _FIRST_WORD.match(said) if isinstance(said, str) else None
    return None if found is None else _WORDS[found[1].lower()]


def _parse_number(said: Any) -> float | None:
    if isinstance(said, str):
        try:
            said = float(said.strip().removesuffix("/10"))
        except ValueError:
            return None
    return parse_number(said, most=MOST_NUMBER)
