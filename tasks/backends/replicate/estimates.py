"""Price and time that a job is expected to take, before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from tasks.backends.base import Estimate
from tasks.backends.prices import Pricing, Used
from tasks.backends.replicate.job_inputs import KINDS_KEPT, JobInputs
from tasks.core.records import Job


class Estimates:
    """Estimates for one instance."""

    def __init__(self, inputs: JobInputs, pricing: Pricing, *, timeout_s: float) -> None:
        """Estimate with these prices; a prediction that takes longer than `timeout_s` is cancelled."""
        self._inputs = inputs
        self._pricing = pricing
        self._timeout_s = timeout_s
        # The jobs of a batch use the same few quantities, and each job is priced several times.
        self._estimate = lru_cache(maxsize=KINDS_KEPT)(self._compute)

    def compute(self, job: Job) -> Estimate:
        """The configured price, else the price table's; a price by time counts the usual time, at most the time-out."""
        return self._estimate(self._inputs.count_used(job, self._inputs.facts.usual_latency_s))

    def _compute(self, usual: Used) -> Estimate:
        return Estimate(
            cost_micros=self._pricing.cost_micros(usual),
            # A price by time is bounded only by the time-out, after which the prediction is cancelled.
            most_micros=self._pricing.cost_micros(replace(usual, seconds=self._timeout_s)),
            latency_s=self._inputs.facts.usual_latency_s,
            priced_on=self._pricing.priced_on,
        )
