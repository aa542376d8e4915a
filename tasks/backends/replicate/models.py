"""Facts about single models: how long they take, and how their inputs differ from the usual ones.

It is data of this file, not asked of the service, so that a job's input is the same in every run: that is how a lost
prediction is found again. Source: the models' API pages on replicate.com, read 2026-11.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """One model."""

    usual_latency_s: float = 6.0
    timeout_s: float = 120.0
    lacks: frozenset[str] = frozenset()
    """Of the inputs that are sent with every job, those that this model does not have."""
    image: str | None = "image"
    """Its input for an image to start from, `name[]` where that takes a list; None: it has none."""
    mask: str | None = None


_ONE_OUTPUT = frozenset({"num_outputs"})

_FACTS = {
    "black-forest-labs/flux-schnell": ModelFacts(usual_latency_s=1.5, timeout_s=60.0, image=None),
    "black-forest-labs/flux-dev": ModelFacts(usual_latency_s=4.0),
    "black-forest-labs/flux-1.1-pro": ModelFacts(lacks=_ONE_OUTPUT, image="image_prompt"),
    "black-forest-labs/flux-1.1-pro-ultra": ModelFacts(lacks=_ONE_OUTPUT, image="image_prompt"),
    "black-forest-labs/flux-kontext-pro": ModelFacts(lacks=_ONE_OUTPUT, image="input_image"),
    "black-forest-labs/flux-kontext-max": ModelFacts(lacks=_ONE_OUTPUT, image="input_image"),
    "black-forest-labs/flux-2-pro": ModelFacts(lacks=_ONE_OUTPUT, image="input_images[]"),
    "black-forest-labs/flux-2-flex": ModelFacts(lacks=_ONE_OUTPUT, image="input_images[]"),
    "black-forest-labs/flux-2-max": ModelFacts(lacks=_ONE_OUTPUT, image="input_images[]"),
    "black-forest-labs/flux-2-dev": ModelFacts(lacks=_ONE_OUTPUT, image="input_images[]"),
    # No seed: equal prompts make equal inputs there, so lost ones are told apart by time only.
    "bytedance/seedream-4": ModelFacts(lacks=_ONE_OUTPUT | {"seed", "output_format"}, image="image_input[]"),
    "google/nano-banana": ModelFacts(lacks=_ONE_OUTPUT | {"seed"}, image="image_input[]"),
    "qwen/qwen-image": ModelFacts(lacks=_ONE_OUTPUT),
    "stability-ai/sdxl": ModelFacts(lacks=frozenset({"aspect_ratio", "output_format"}), mask="mask"),
}


def get_model_facts(model: str) -> ModelFacts:
    """Return the facts about `owner/name`; the usual ones for other models."""
    return _FACTS.get(model, _OTHER)


_OTHER = ModelFacts()
