"""Settings of the type `fal`."""

from __future__ import annotations

import re
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.backends.client.options import BaseAddress
from tasks.core.configuration.sections import VariableName

QUEUE_BASE = "https://queue.fal.run"
PRICING_BASE = "https://api.fal.ai/v1"
DELIVERY_HOSTS = ("fal.media", "*.fal.media")
"""The hosts of generated files (fal.ai docs, "Queue", read 2026-11)."""

Sent = Literal["seed", "num_images", "output_format"]
"""Inputs that are sent with every job, since most image models take them."""

_MODEL = re.compile(r"(?:(?:workflows|comfy)/)?[\w.-]+/[\w.-]+(?:/[\w./-]+)?")


class FalOptions(BaseModel):
    """Settings of this type beyond the common keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    api_key_env: VariableName = Field("FAL_KEY", description="variable that holds the key")
    queue_base: BaseAddress = Field(QUEUE_BASE, description="of the queue API")
    pricing_base: BaseAddress | None = Field(
        None, description="of the API that tells prices, for plan --ask; null: fal.ai's own, where queue_base is too"
    )
    sends: list[Sent] = Field(
        default_factory=lambda: list(get_args(Sent)),
        description="sent with every job; shorten it for models that do not take one of them",
    )
    size_as: Literal["image_size", "aspect_ratio", "none"] = Field(
        "image_size", description="how the model is told a row's size"
    )
    image_input: str | None = Field(
        None, pattern=r"^\w+(\[\])?$", description="model's input for a row's `image`; name[] for a list; null: none"
    )
    mask_input: str | None = Field(None, pattern=r"^\w+(\[\])?$", description="likewise for `mask`")
    default_steps: int | None = Field(None, ge=1, description="where the row gives none; null: the model's own")
    timeout_s: float = Field(300.0, ge=5, le=86_400, description="for one request, and to its start in the queue")
    usual_latency_s: float = Field(4.0, ge=0, description="seconds that one takes, until some were seen")
    requests_per_min: float = Field(3_000.0, gt=0, description="polls and cancels at most")
    delivery_hosts: list[str] = Field(default_factory=lambda: list(DELIVERY_HOSTS), description="images come from")

    @field_validator("queue_base")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")

    def find_pricing_base(self) -> str | None:
        """The address of the pricing API; None for another queue, whose key must not get to fal.ai."""
        if self.pricing_base is not None:
            return self.pricing_base.rstrip("/")
        return PRICING_BASE if self.queue_base == QUEUE_BASE else None


def parse_model(text: str) -> str:
    """The model's id, as it stands in addresses.

    Raises:
        ValueError: It is not `owner/app` or `owner/app/path`.
    """
    # ".." would lead to another address below the queue's.
    if not _MODEL.fullmatch(text) or ".." in text:
        raise ValueError(f"{text!r} is not a model; write owner/app or owner/app/path, as fal-ai/flux/schnell")
    return text


def get_app(model: str) -> str:
    """The part of a model's id that stands in the addresses of its requests (fal-client 1.0.3, `AppId`)."""
    parts = model.split("/")
    # Workflows and ComfyUI apps have one more part before their owner.
    return "/".join(parts[: 3 if parts[0] in {"workflows", "comfy"} else 2])
