"""Settings of the type `openai`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.backends.client.options import BaseAddress
from tasks.core.configuration.sections import VariableName

API_BASE = "https://api.openai.com/v1"
SIZE = r"^(auto|\d+x\d+)$"


class OpenAIOptions(BaseModel):
    """Settings of this type beyond the common keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    mode: Literal["sync", "batch"] = Field("sync", description="batch: half the price, within a day")
    api_base: BaseAddress = Field(API_BASE, description="with its /v1, of OpenAI or of a server that speaks its API")
    api_key_env: VariableName | None = Field(
        "OPENAI_API_KEY", description="variable that holds the key; null: none is needed"
    )
    default_size: str | None = Field(
        "1024x1024", pattern=SIZE, description="where the row gives none; auto: the model's choice; null: not sent"
    )
    quality: str | None = Field(None, description="low, medium, high, ...; null: the model's own")
    output_format: bool | None = Field(
        None, description="send the row's format; null: where the model is known to take it"
    )
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="sent where set; OpenAI's present models take none and answer with the image itself"
    )
    extra_inputs: dict[str, Literal["seed", "steps", "negative_prompt"]] = Field(
        default_factory=dict, description="further inputs of a server, as {seed: seed, num_inference_steps: steps}"
    )
    output_tokens: int | None = Field(
        None, ge=1, description="of one image at most, for plans and budgets; null: what is known of the model"
    )
    input_image_tokens: int | None = Field(
        None, ge=1, description="of the images that a row starts from, at most; null: it is not known"
    )
    timeout_s: float = Field(300.0, gt=0, le=3_600, description="for one answer; the image is made meanwhile")
    usual_latency_s: float = Field(20.0, ge=0, description="seconds that an image takes, for plans")
    delivery_hosts: list[str] = Field(
        default_factory=list, description="where images lie that come as addresses, besides api_base's own host"
    )
    batch_jobs: int = Field(200, ge=1, le=50_000, description="batch: jobs in one batch at most")
    batch_quiet_s: float = Field(5.0, ge=0, le=600, description="batch: sent when no job has come for so long")
    batch_latency_s: float = Field(3_600.0, ge=0, le=86_400, description="batch: seconds that one takes, for plans")
    batch_poll_s: float = Field(60.0, gt=0, le=3_600, description="batch: between two looks at a batch")

    @field_validator("api_base")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")
