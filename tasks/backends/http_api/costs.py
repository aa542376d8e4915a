"""The cost of an image: its price beforehand, and the cost that the answers state afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks.backends.http_api.answer import Answer
from tasks.backends.http_api.answers import ImageOutput
from tasks.backends.http_api.options import HttpOptions
from tasks.backends.http_api.reported import read_cost
from tasks.backends.http_api.request.values import resolve_size
from tasks.backends.prices import Pricing, Used
from tasks.backends.stated_costs import StatedCosts
from tasks.core.errors import JobError, Refused, UnreadableAnswer
from tasks.core.records import Job, Prediction

PROMPT_MARGIN_TOKENS = 50
"""Tokens that a service adds to a prompt, such as roles and ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The prices of one instance."""

    pricing: Pricing
    options: HttpOptions
    stated: StatedCosts
    share: float = 1.0
    """Of the price: batches cost less."""

    def estimate(self, job: Job) -> int | None:
        """Millionths of a dollar for one image; None where no price is known."""
        tokens = self.options.tokens
        usual = None if tokens is None else tokens.usual_output
        return self._price_tokens(job, output=usual, text=0)

    def most(self, job: Job) -> int | None:
        """The most that one image can cost, in millionths of a dollar; None where that is not known."""
        tokens = self.options.tokens
        if tokens is None:
            return self.estimate(job)
        return self._price_tokens(job, output=tokens.most_output, text=tokens.most_output_text)

    def _price_tokens(self, job: Job, *, output: int | None, text: int) -> int | None:
        # No more tokens than bytes: each stands for one byte at least.
        prompt = len(f"{job.prompt}{job.negative_prompt or ''}".encode()) + PROMPT_MARGIN_TOKENS
        used = replace(self.count_used(job), input_tokens=prompt, output_tokens=output, output_text_tokens=text)
        return self._price(used)

    def _price(self, used: Used) -> int | None:
        full = self.pricing.cost_micros(used)
        # The user's own price is what the user says, in either mode.
        return full if full is None or self.pricing.image_micros is not None else round(full * self.share)

    def price_error(self, job: Job, error: JobError) -> None:
        """Give an error of a whole answer the price of the image, where the service has stated none."""
        is_billed = isinstance(error, Refused) and self.options.refusals_are_billed
        # An unreadable answer was a whole answer, so the image was made and is billed.
        if error.cost_micros is None and (isinstance(error, UnreadableAnswer) or is_billed):
            error.cost_micros = self._price(self.count_used(job))

    def end(self, job: Job, prediction: Prediction, output: ImageOutput, created: Answer | None) -> Prediction:
        """The ended prediction with its cost: as the answers state it, where that can be, else the price."""
        used = replace(
            self.count_used(job),
            images=output.images,
            input_tokens=output.input_tokens,
            output_tokens=output.output_tokens,
            output_text_tokens=output.output_text_tokens,
        )
        priced, cost = self._price(used), self.options.cost
        reported = output.reported_micros
        # Some services state the cost when they accept a request, and not again with the result (BFL, 2026-11).
        if created is not None and cost is not None and cost.where == "create":
            reported = read_cost(created, cost)
        cost_micros, source = self._settle(reported, priced)
        return Prediction(
            prediction_id=prediction.prediction_id,
            output=output,
            further=output.further,
            images=output.images,
            cost_micros=cost_micros,
            cost_source=None if cost_micros is None else source,
        )

    def _settle(self, reported: int | None, priced: int | None) -> tuple[int | None, str]:
        """The cost that counts, and where it is from."""
        if self.pricing.free:
            self.stated.tell_free(reported)
            return 0, "free"
        if reported is None:
            return priced, "priced"
        return self.stated.judge(reported, priced), "reported"

    def count_used(self, job: Job) -> Used:
        """The quantities of one image, as far as the request decides them."""
        width, height = resolve_size(job, self.options)
        return Used(
            images=1,
            steps=job.steps or self.options.default_steps,
            megapixels=width * height / 1e6 if width and height else None,
            # The size of reference images is not known here, and a price may count it.
            input_megapixels=None if job.image else 0.0,
        )
