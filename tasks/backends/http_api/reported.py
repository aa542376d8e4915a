"""The cost and the tokens that an answer of a configured API states."""

from __future__ import annotations

import re
from typing import Any

from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.sections import Cost
from tasks.backends.prices import MOST_RUN_USD, MOST_TOKENS
from tasks.core.money import to_micros
from tasks.core.values import parse_number

_DOLLARS = re.compile(r"^\s*(US)?\$\s*|\s*(USD|US dollars?|dollars?)\s*$", re.IGNORECASE)


def read_cost_micros(answer: Answer, options: HttpOptions) -> int | None:
    """Read the cost from the last answer, in millionths of a dollar; None where it names no price."""
    cost = options.cost
    # A cost of the create's answer was read when that answer came.
    return None if cost is None or cost.where != "last" else read_cost(answer, cost)


def read_cost(answer: Answer, cost: Cost) -> int | None:
    """A cost as an answer states it, in millionths of a dollar; None for what is no price."""
    # Headers are text, so a number in one is parsed; a header that is missing is no cost of zero.
    stated = answer.headers.get(cost.header) if cost.header is not None else answer.read(cost.at)
    # Some services write a price for people: "$0.03", "0.03 USD".
    text = _DOLLARS.sub("", stated) if isinstance(stated, str) else stated
    try:
        amount = float(text) * cost.times if isinstance(text, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    return None if isinstance(stated, bool) else to_micros(parse_number(amount, most=MOST_RUN_USD))


def read_tokens(answer: Answer, options: HttpOptions) -> dict[str, Any]:
    """Read the tokens that the answer counts; a count that is none is None."""
    tokens = options.tokens
    if tokens is None:
        return {}
    return {
        "input_tokens": parse_number(answer.read(tokens.input), most=MOST_TOKENS),
        "output_tokens": parse_number(answer.read(tokens.output), most=MOST_TOKENS),
        "output_text_tokens": _add_up([answer.read(place) for place in tokens.output_text]),
    }


def _add_up(counts: list[Any]) -> float | None:
    """The sum of those that are there; None where one is no count."""
    parsed = [parse_number(count, most=MOST_TOKENS) for count in counts if count is not None]
    return None if None in parsed else sum(count or 0.0 for count in parsed)
