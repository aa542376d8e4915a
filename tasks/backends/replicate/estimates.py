"""Price and time that a job is expected to take, before anything is sent."""

from __future__ import annotations

from dataclasses import replace

from tasks.backends.base import Estimate
from tasks.backends.prices import Pricing, Used
from tasks.backends.replicate.job_inputs import KINDS_KEPT, JobInputs, Shape, get_shape
from tasks.core.records import Job


class Estimates:
    """Estimates for one instance."""

    def __init__(self, inputs: JobInputs, pricing: Pricing, *, timeout_s: float) -> None:
        """Estimate with these prices; a prediction that takes longer than `timeout_s` is cancelled."""
        self._inputs = inputs
        self._pricing = pricing
        self._timeout_s = timeout_s
        self._known: dict[Shape, Estimate] = {}

    def compute(self, job: Job) -> Estimate:
        """The configured price, else the price table's; a price by time counts the usual time, at most the time-out."""
        shape = get_shape(job)
        # The jobs of a batch have the same few shapes, and each job is priced several times.
        if (known := self._known.get(shape)) is None:
            known = self._compute(self._inputs.count_used(job, self._inputs.facts.usual_latency_s))
            if shape is not None and len(self._known) < KINDS_KEPT:
                self._known[shape] = known
        return known

    def _compute(self, usual: Used) -> Estimate:
        return Estimate(
            cost_micros=self._pricing.cost_micros(usual),
            # A price by time is bounded only by the time-out, after which the prediction is cancelled.
            most_micros=self._pricing.cost_micros(replace(usual, seconds=self._timeout_s)),
            latency_s=self._inputs.facts.usual_latency_s,
            priced_on=self._pricing.priced_on,
        )
