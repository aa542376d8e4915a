"""Settings of the type `diffusers`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RESIDENT: Literal["none"] = "none"
"""Of `offload`: all weights stay on the device."""
SIDE_GRID_PX = 8
"""Every latent diffusion model needs sides that are multiples of this; some round to 16 by themselves."""


class DiffusersOptions(BaseModel):
    """Settings of this type beyond the common keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", description="auto: cuda, else mps, else cpu")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the weights; auto: bfloat16 (float16 on older GPUs), float32 on a cpu"
    )
    offload: Literal["none", "model", "sequential"] = Field(
        RESIDENT, description="keep weights in main memory: whole models (slower), or layers (slowest, smallest)"
    )
    quantize: Literal["none", "int8", "float8", "int4"] = Field(
        "none",
        description="keep the largest weights in so many bits: less of the GPU's memory, slightly other images; float8 and int4 "
        "need the CUDA toolkit and ninja",
    )
    batch_size: int = Field(4, ge=1, le=256, description="images in one call at most; halved when memory is short")
    default_width: int = Field(1024, ge=16, multiple_of=SIDE_GRID_PX, description="where the row gives no size")
    default_height: int = Field(1024, ge=16, multiple_of=SIDE_GRID_PX, description="where the row gives no size")
    default_steps: int | None = Field(None, ge=1, description="where the row gives none; null: the pipeline's own")
    default_guidance: float | None = Field(None, ge=0, description="likewise, guidance_scale")
    price_usd_per_hour: float | None = Field(None, ge=0, description="of the device; an image costs its share of time")
    latency_s: float = Field(5.0, gt=0, description="the device's time for one image, until the first was measured")

    @property
    def default_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.default_width, self.default_height
