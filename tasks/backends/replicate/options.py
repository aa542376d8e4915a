"""Settings of the type `replicate`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.backends.client.options import BaseAddress
from tasks.core.configuration.sections import VariableName

API_BASE = "https://api.replicate.com"
CREATES_PER_MIN = 600.0
REQUESTS_PER_MIN = 3_000.0
"""An account's limits: for creates, and for everything else (Replicate docs, "Rate limits", read 2026-11)."""
DELIVERY_HOSTS = ("replicate.delivery", "*.replicate.delivery")
"""The hosts from which outputs are fetched (Replicate docs, "Output files", read 2026-11)."""

_MODEL = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w.-]+))?")


@dataclass(frozen=True, slots=True)
class ModelReference:
    """`owner/name`, perhaps with a version."""

    name: str
    version: str | None

    def __str__(self) -> str:
        """As it stands in the configuration."""
        return self.name if self.version is None else f"{self.name}:{self.version}"


class ReplicateOptions(BaseModel):
    """Settings of this type beyond the common keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    api_token_env: VariableName = Field("REPLICATE_API_TOKEN", description="variable that holds the token")
    api_base: BaseAddress = Field(API_BASE, description="with or without /v1")
    # Steps decide time and price, so nothing is sent unless the row or the instance asks for it.
    default_steps: int | None = Field(None, ge=1, description="where the row gives none; null: the model's own")
    default_aspect_ratio: str = Field("1:1", pattern=r"^\d+:\d+$", description="where the row gives no size")
    timeout_s: float | None = Field(None, ge=5, le=86_400, description="for one prediction; null: the model's usual")
    requests_per_min: float = Field(REQUESTS_PER_MIN, gt=0, description="polls, look-ups and cancels at most")
    lookup_patience_s: float = Field(20.0, ge=0, description="how long a lost prediction may take to show up")
    delivery_hosts: list[str] = Field(default_factory=lambda: list(DELIVERY_HOSTS), description="images come from")
    output_quality: int | None = Field(None, ge=0, le=100, description="sent where set")
    image_input: str | None = Field(
        None,
        pattern=r"^\w+(\[\])?$",
        description="the model's input for `image`, name[] for a list; null: as known of the model",
    )
    mask_input: str | None = Field(None, pattern=r"^\w+(\[\])?$", description="likewise for `mask`")
    check_inputs: bool = Field(True, description="fetch the model's input schema and check the batch against it")

    @field_validator("api_base")
    @classmethod
    def _without_version(cls, value: str) -> str:
        # Replicate's v1 client wants the base without /v1, its v2 client with it; both forms are met in configurations.
        return value.rstrip("/").removesuffix("/v1")


def parse_model(text: str) -> ModelReference:
    """The parts of a model reference.

    Raises:
        ValueError: It is not `owner/name` or `owner/name:version`.
    """
    match = _MODEL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a model; write owner/name or owner/name:version")
    return ModelReference(match[1], match[2])
