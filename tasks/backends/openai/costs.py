"""The cost of an image: by the tokens that the service counts, and beforehand by those known of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.backends.openai.answer import ImageAnswer
from tasks.backends.openai.models import get_model_facts
from tasks.backends.openai.options import OpenAIOptions
from tasks.backends.prices import MOST_TOKENS, Pricing, Used
from tasks.core.money import to_micros
from tasks.core.values import parse_number

BATCH_SHARE = 0.5
"""Of the usual price, for what is made through the Batch API (OpenAI's announcement of image models there, 2026)."""
PROMPT_OVERHEAD_TOKENS = 64
"""Room for what the service adds to a prompt. A token is never less than a byte of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The prices of one instance."""

    pricing: Pricing
    options: OpenAIOptions

    def most_micros(self, body: Mapping[str, Any], *, from_images: bool = False) -> int | None:
        """The most that a request can cost, millionths of a dollar; None where that is not known."""
        facts = get_model_facts(str(body.get("model", "")))
        known = facts.output_tokens(body.get("quality"), body.get("size")) if facts else None
        # Bytes are an upper bound of tokens in every text encoding that OpenAI uses.
        prompt_tokens = len(str(body.get("prompt", "")).encode("utf-8", "surrogatepass")) + PROMPT_OVERHEAD_TOKENS
        return self._cost_micros(
            Used(
                images=1,
                input_tokens=prompt_tokens,
                input_image_tokens=self.options.input_image_tokens if from_images else 0.0,
                # The configured number wins, also over facts that this file knows of the model.
                output_tokens=self.options.output_tokens or known,
                output_text_tokens=facts.text_tokens if facts and not self.options.output_tokens else 0.0,
            )
        )

    def price(self, answer: ImageAnswer, *, from_images: bool = False) -> tuple[int | None, str | None]:
        """Price an answer, and name the source: `reported` tokens, a `priced` image, or `free`."""
        cost_micros = self._cost_micros(self._count_used(answer, from_images=from_images))
        if cost_micros is None:
            return None, None
        if self.pricing.free:
            return cost_micros, "free"
        return cost_micros, "reported" if self._by_tokens else "priced"

    def _count_used(self, answer: ImageAnswer, *, from_images: bool) -> Used:
        usage = answer.usage or {}
        tokens, output = _count(usage, "input_tokens"), _count(usage, "output_tokens")
        of_images = _count(usage.get("input_tokens_details"), "image_tokens") if from_images else 0.0
        # Since 2026-08 the tokens of the output are those of the image and those of a text beside it, which has a price
        # of its own (recorded answers). Some servers count both in one.
        of_text = _count(usage.get("output_tokens_details"), "text_tokens") or 0.0
        return Used(
            images=answer.images,
            # The service counts the reference images' tokens among the others.
            input_tokens=_subtract(tokens, of_images),
            input_image_tokens=of_images,
            output_tokens=_subtract(output, of_text),
            output_text_tokens=of_text,
        )

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


def _count(usage: Any, name: str) -> float | None:
    """Tokens of one kind; None where there is no such count, or none that can be believed."""
    return parse_number(usage.get(name), most=MOST_TOKENS) if isinstance(usage, dict) else None


def _subtract(total: float | None, part: float | None) -> float | None:
    """Subtract a part from a total; None where either is unknown, or the part is more than the whole."""
    # A part larger than the whole means that the counts are not what they are taken for.
    return None if total is None or part is None or part > total else total - part
