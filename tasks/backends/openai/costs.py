"""What a picture costs: by the tokens that the service counts, and beforehand by those that are known of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.backends.openai.answer import ImageAnswer
from tasks.backends.openai.models import get_model_facts
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.prices import Pricing, Used
from tasks.core.money import to_micros

BATCH_SHARE = 0.5
"""Of the usual price, for what is made through the Batch API (OpenAI's announcement of image models there, 2026)."""
PROMPT_OVERHEAD_TOKENS = 64
"""Room for what the service adds to a prompt. A token is never less than a byte of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The prices of one instance."""

    pricing: Pricing
    options: OpenAIOptions

    def most_micros(self, body: Mapping[str, Any], *, from_pictures: bool = False) -> int | None:
        """The most that a request can cost, millionths of a dollar; None where that is not known."""
        facts = get_model_facts(str(body.get("model", "")))
        known = facts.output_tokens(body.get("quality"), body.get("size")) if facts else None
        prompt_tokens = len(str(body.get("prompt", "")).encode("utf-8", "surrogatepass")) + PROMPT_OVERHEAD_TOKENS
        return self._cost_micros(
            Used(
                images=1,
                input_tokens=prompt_tokens,
                input_image_tokens=self.options.input_image_tokens if from_pictures else 0.0,
                output_tokens=self.options.output_tokens or known,
            )
        )

    def of(self, answer: ImageAnswer, *, from_pictures: bool = False) -> tuple[int | None, str | None]:
        """What an answer has cost, and where that is known from: `reported` tokens, a `priced` picture, or `free`."""
        usage = answer.usage or {}
        input_tokens, of_pictures = (
            _parse_count(usage.get("input_tokens")),
            0.0 if not from_pictures else _read_image_tokens(usage),
        )
        used = Used(
            images=1,
            # The service counts the pictures' tokens among the others.
            input_tokens=None if input_tokens is None or of_pictures is None else input_tokens - of_pictures,
            input_image_tokens=of_pictures,
            output_tokens=_parse_count(usage.get("output_tokens")),
        )
        cost_micros = self._cost_micros(used)
        if cost_micros is None:
            return None, None
        if self.pricing.free:
            return cost_micros, "free"
        return cost_micros, "reported" if self._by_tokens else "priced"

    @property
    def _by_tokens(self) -> bool:
        price = self.pricing.price
        by_tokens = price is not None and (price.usd.output_million_tokens or price.usd.input_million_tokens)
        return bool(by_tokens) and self.pricing.image_micros is None

    def _cost_micros(self, used: Used) -> int | None:
        full = self.pricing.cost_micros(used)
        # The user's own price is what the user says, in either mode.
        if full is None or self.options.mode == "sync" or self.pricing.image_micros is not None:
            return full
        return to_micros(full * BATCH_SHARE / 1e6)


def _read_image_tokens(usage: Mapping[str, Any]) -> float | None:
    details = usage.get("input_tokens_details")
    return _parse_count(details.get("image_tokens")) if isinstance(details, dict) else None


def _parse_count(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
