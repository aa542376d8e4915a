"""The columns of a row with the values that each takes; also the source of the JSON Schema that ships in `manifests/`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from tasks.core.values import MOST_REROLLS, parse_backend_names
from tasks.manifest.cell_values import (
    ADDRESS_CHARS,
    ID_CHARS,
    PROMPT_CHARS,
    SAMPLES,
    SEED,
    SIZE_PX,
    STEPS,
    make_whole_number,
    parse_address,
    parse_aspect_ratio,
    parse_format,
    parse_guidance,
    parse_id,
    parse_options,
    parse_prompt,
    parse_text,
)
from tasks.manifest.row_gates import parse_keep, parse_reject


def _build_bounds(limits: tuple[int, int]) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": limits[0], "maximum": limits[1]})


_PROMPT_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"\S", "maxLength": PROMPT_CHARS})
_TEXT_SCHEMA = WithJsonSchema({"type": "string", "maxLength": PROMPT_CHARS})
_ID_SCHEMA = WithJsonSchema(
    {
        "type": ["string", "integer"],
        "pattern": r"^(?!\s*\.{0,2}\s*$)[^/\\\u0000-\u001f\u007f]+$",
        "maxLength": ID_CHARS,
    }
)
_RATIO_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": "^(100|[1-9][0-9]?):(100|[1-9][0-9]?)$", "examples": ["16:9", "1:1", "3:4"]}
)
_FORMAT_SCHEMA = WithJsonSchema({"enum": ["png", "jpeg", "jpg", "webp"]})

_ADDRESS_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1, "maxLength": ADDRESS_CHARS})
_BACKENDS_SCHEMA = WithJsonSchema(
    {"type": ["string", "array"], "minLength": 1, "items": {"type": "string", "minLength": 1}, "minItems": 1}
)

Text = Annotated[str, BeforeValidator(parse_text), _TEXT_SCHEMA]
Size = Annotated[int, BeforeValidator(make_whole_number("a size", SIZE_PX, " pixels")), _build_bounds(SIZE_PX)]
Steps = Annotated[int, BeforeValidator(make_whole_number("a number of steps", STEPS)), _build_bounds(STEPS)]
Seed = Annotated[int, BeforeValidator(make_whole_number("a seed", SEED)), _build_bounds(SEED)]
Samples = Annotated[int, BeforeValidator(make_whole_number("a number of samples", SAMPLES)), _build_bounds(SAMPLES)]
Reroll = Annotated[
    int, BeforeValidator(make_whole_number("a number of rerolls", (0, MOST_REROLLS))), _build_bounds((0, MOST_REROLLS))
]
Format = Annotated[Literal["png", "jpeg", "webp"], BeforeValidator(parse_format), _FORMAT_SCHEMA]


class ManifestRow(BaseModel):
    """One row of a manifest. Every column that is not named here is carried through to the metadata."""

    model_config = ConfigDict(
        extra="allow",
        title="A row of an imagen manifest",
        json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema"},
    )

    prompt: Annotated[str, BeforeValidator(parse_prompt), _PROMPT_SCHEMA] = Field(description="The text of the image.")
    id: Annotated[str, BeforeValidator(parse_id), _ID_SCHEMA] | None = Field(
        None, description="Your own name for the row, unique in the manifest; a part of the file names."
    )
    negative_prompt: Text | None = Field(None, description="What should not be in the image.")
    backend: Annotated[tuple[str, ...], BeforeValidator(parse_backend_names), _BACKENDS_SCHEMA] | None = Field(
        None,
        description="Name of a configured backend; left out, the default one. "
        "A list (in CSV with commas): each is tried where the one before it cannot serve the row.",
    )
    width: Size | None = Field(None, description="Width in pixels.")
    height: Size | None = Field(None, description="Height in pixels.")
    aspect_ratio: Annotated[str, BeforeValidator(parse_aspect_ratio), _RATIO_SCHEMA] | None = Field(
        None, description="Width to height, as 16:9; beside it, width or height may stand, not both."
    )
    steps: Steps | None = Field(None, description="Number of inference steps.")
    seed: Seed | None = Field(None, description="Left out, one is derived from the row: the same in every run.")
    image: Annotated[str, BeforeValidator(parse_address), _ADDRESS_SCHEMA] | None = Field(
        None, description="Image to start from: a path relative to the manifest, or an address (http, https)."
    )
    mask: Annotated[str, BeforeValidator(parse_address), _ADDRESS_SCHEMA] | None = Field(
        None, description="Likewise, of the part of image that is to change."
    )
    samples: Samples = Field(1, description="How many images to make of this row.")
    format: Format | None = Field(None, description="File format; left out, the configuration's.")
    guidance: Annotated[float, BeforeValidator(parse_guidance)] | None = Field(
        None, description="How closely to follow the prompt; goes to backend_opts under this name."
    )
    backend_opts: Annotated[dict[str, Any], BeforeValidator(parse_options)] = Field(
        default_factory=dict, description="Options that are sent to the backend as they are."
    )
    keep: Annotated[dict[str, Any], BeforeValidator(parse_keep)] | None = Field(
        None, description="Which images of this row count: {by: SCORE, best: N}; left out, the run's rule."
    )
    reject: Annotated[str, BeforeValidator(parse_reject)] | None = Field(
        None, description="Condition under which an image of this row does not count; left out, the run's."
    )
    reroll: Reroll | None = Field(
        None, description="Further tries for each rejected image of this row; left out, the run's."
    )
