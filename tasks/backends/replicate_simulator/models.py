"""The models that can be run: what they take, what they answer, what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tasks.backends.replicate_simulator.sizes import CUSTOM, SIDES_PX
from tasks.core.money import to_micros

HIDDEN_VERSION = "hidden"
"""The version that official models give for a prediction (observed by other clients, read 2026-11)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a model."""

    kind: str
    """`string`, `integer`, `number` or `boolean`, as in JSON Schema."""
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    is_address: bool = False
    """True if it is an address: of the web, or the data itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """One official model."""

    owner: str
    name: str
    fields: Mapping[str, Field]
    answers_list: bool
    """True if the output is a list of addresses or a single one."""
    run_usd: float = 0.0
    image_usd: float = 0.0
    megapixel_usd: float = 0.0
    """For each begun megapixel of output."""
    reports_megapixels: bool = False

    @property
    def slug(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"

    @property
    def version(self) -> str:
        """64 hex digits."""
        return sha256(self.slug.encode()).hexdigest()

    def cost_micros(self, *, images: int, pixels: int) -> int:
        """Millionths of a dollar for so many images of so many pixels each."""
        megapixels = self.count_megapixels(pixels)
        return to_micros(self.run_usd + images * (self.image_usd + megapixels * self.megapixel_usd)) or 0

    @staticmethod
    def count_megapixels(pixels: int) -> int:
        """Begun megapixels, as they are billed: 1024x1024 is one of them (recorded answer of 2026-05)."""
        # Begun megapixels are 2^20 pixels: 1024x1024 is billed as one.
        return math.ceil(pixels / 2**20)

    def default(self, name: str) -> Any:
        """The value that the model uses where the input names none."""
        return self.fields[name].default if name in self.fields else None


PROMPT = Field("string", required=True)
IMAGE_ADDRESS = Field("string", is_address=True)
SEED = Field("integer")
QUALITY = Field("integer", default=80, minimum=0, maximum=100)
FORMAT = Field("string", default="webp", choices=("webp", "jpg", "png"))
RATIO = Field("string", default="1:1", choices=tuple(SIDES_PX))
PRO_RATIO = Field(
    "string", default="1:1", choices=(CUSTOM, "1:1", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3")
)


def _build_common(steps: Field) -> dict[str, Field]:
    """Return the inputs that flux-schnell and flux-dev share (their API pages on replicate.com, read 2026-11)."""
    return {
        "prompt": PROMPT,
        "aspect_ratio": RATIO,
        "num_outputs": Field("integer", default=1, minimum=1, maximum=4),
        "num_inference_steps": steps,
        "seed": SEED,
        "output_format": FORMAT,
        "output_quality": QUALITY,
        "disable_safety_checker": Field("boolean", default=False),
        "go_fast": Field("boolean", default=True),
        "megapixels": Field("string", default="1", choices=("1", "0.25")),
    }


# Prices: the models' pages on replicate.com, read 2026-10-07. They are written down here a second time, so that a
# mistake in the price table that the batch uses shows up as a difference.
FLUX_SCHNELL = Model(
    owner="black-forest-labs",
    name="flux-schnell",
    fields=_build_common(Field("integer", default=4, minimum=1, maximum=4)),
    answers_list=True,
    image_usd=0.003,
)
FLUX_DEV = Model(
    owner="black-forest-labs",
    name="flux-dev",
    fields={
        **_build_common(Field("integer", default=28, minimum=1, maximum=50)),
        "image": IMAGE_ADDRESS,
        "prompt_strength": Field("number", default=0.8, minimum=0, maximum=1),
        "guidance": Field("number", default=3, minimum=0, maximum=10),
    },
    answers_list=True,
    image_usd=0.025,
)
FLUX_11_PRO = Model(
    owner="black-forest-labs",
    name="flux-1.1-pro",
    fields={
        "prompt": PROMPT,
        "aspect_ratio": PRO_RATIO,
        "width": Field("integer", minimum=256, maximum=1440),
        "height": Field("integer", minimum=256, maximum=1440),
        "safety_tolerance": Field("integer", default=2, minimum=1, maximum=6),
        "seed": SEED,
        "prompt_upsampling": Field("boolean", default=False),
        "output_format": FORMAT,
        "output_quality": QUALITY,
    },
    answers_list=False,
    image_usd=0.04,
)
FLUX_2_PRO = Model(
    owner="black-forest-labs",
    name="flux-2-pro",
    fields={
        "prompt": PROMPT,
        "aspect_ratio": PRO_RATIO,
        "resolution": Field("string", default="1 MP", choices=("0.5 MP", "1 MP", "2 MP", "4 MP")),
        "width": Field("integer", minimum=256, maximum=2048),
        "height": Field("integer", minimum=256, maximum=2048),
        "safety_tolerance": Field("integer", default=2, minimum=1, maximum=5),
        "seed": SEED,
        "output_format": FORMAT,
        "output_quality": QUALITY,
    },
    answers_list=False,
    run_usd=0.015,
    megapixel_usd=0.015,
    reports_megapixels=True,
)

MODELS: Mapping[str, Model] = {model.slug: model for model in (FLUX_SCHNELL, FLUX_DEV, FLUX_11_PRO, FLUX_2_PRO)}
BY_VERSION: Mapping[str, Model] = {model.version: model for model in MODELS.values()}


def find_by_reference(version: str) -> Model | None:
    """The model of `owner/name`, `owner/name:version` or a bare version; None where there is none."""
    slug, colon, hexadecimal = version.partition(":")
    # A bare version has no slash, and a name always has one.
    if "/" not in slug:
        return BY_VERSION.get(version)
    model = MODELS.get(slug)
    # `owner/name` alone is allowed for official models only, and these all are.
    return model if model and hexadecimal in ({model.version} if colon else {""}) else None
