"""From a raw row to a `Prompt`: the one place that knows which values a column takes.

`ManifestRow` is also the source of the JSON Schema that ships in `manifests/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from math import gcd, isfinite, nan
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from tasks.core.records import Problem, Prompt
from tasks.core.values import find_carrying_problem, find_json_problem, parse_backend_names
from tasks.manifest.columns import RawRow, split_cells

SIZE_PX = (16, 16_384)
STEPS = (1, 1_000)
SAMPLES = (1, 1_000)
SEED = (0, 2**63 - 1)
"""What a usage table's bigint holds."""
PROMPT_CHARS = 32 * 1024
ID_CHARS = 200
ADDRESS_CHARS = 2_048
RATIO_PART = 100

_WHOLE = re.compile(r"[+-]?\d{1,40}(\.0+)?")
_RATIO = re.compile(r"(\d{1,3}):(\d{1,3})")
_UNFIT_FOR_ID = re.compile(r"[/\\\x00-\x1f\x7f]")


def _whole_number(what: str, limits: tuple[int, int], unit: str = "") -> Callable[[Any], int]:
    low, high = limits
    allowed = f"give a whole number from {low} to {high}{unit}"

    def parse(value: Any) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            number = int(value.split(".")[0])
        elif isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
            number = int(value)
        else:
            raise ValueError(f"{_shown(value)} is not {what}; {allowed}")
        if not low <= number <= high:
            raise ValueError(f"{number} is not {what}; {allowed}")
        return number

    return parse


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not text; put it in quotes")  # noqa: TRY004  pydantic reads ValueError
    if "\0" in value:
        raise ValueError("holds a NUL character; remove it")
    if len(value) > PROMPT_CHARS:
        raise ValueError(f"is {len(value)} characters long; at most {PROMPT_CHARS} are sent")
    return value


def _prompt(value: Any) -> str:
    if value is None or not _text(value).strip():
        raise ValueError("is empty; give the text of the picture or delete the row")
    return str(value)


def _id(value: Any) -> str:
    text = str(value).strip() if isinstance(value, int) and not isinstance(value, bool) else _text(value).strip()
    if not text or len(text) > ID_CHARS or text in {".", ".."} or _UNFIT_FOR_ID.search(text):
        raise ValueError(
            f"{_shown(value)} cannot be a part of a file name; use 1 to {ID_CHARS} characters without / or \\"
        )
    return text


def _aspect_ratio(value: Any) -> str:
    match = _RATIO.fullmatch(value.strip()) if isinstance(value, str) else None
    across, down = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (0 < across <= RATIO_PART and 0 < down <= RATIO_PART):
        raise ValueError(f"{_shown(value)} is not an aspect ratio; write it as 16:9 (in YAML in quotes)")
    shared = gcd(across, down)
    return f"{across // shared}:{down // shared}"


def _format(value: Any) -> str:
    name = value.strip().lower() if isinstance(value, str) else ""
    if (name := {"jpg": "jpeg"}.get(name, name)) not in {"png", "jpeg", "webp"}:
        raise ValueError(f"{_shown(value)} is not an image format; there are png, jpeg and webp")
    return name


def _address(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > ADDRESS_CHARS:
        raise ValueError(f"{_shown(value)} is neither the path nor the address of a picture")
    return value.strip()


def _options(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f'{_shown(value)} is not JSON; write an object, as {{"go_fast": false}}') from None
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is not a set of named options")  # noqa: TRY004  pydantic reads ValueError
    if reason := find_json_problem(value):
        raise ValueError(f"{_shown(value)} cannot be sent as JSON ({reason})")
    return value


def _guidance(value: Any) -> float:
    try:
        number = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        number = nan
    if not isfinite(number):
        raise ValueError(f"{_shown(value)} is not a number")
    return number


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  fits on a line beside the rest


def _bounds(limits: tuple[int, int]) -> WithJsonSchema:
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

Text = Annotated[str, BeforeValidator(_text), _TEXT_SCHEMA]
Size = Annotated[int, BeforeValidator(_whole_number("a size", SIZE_PX, " pixels")), _bounds(SIZE_PX)]
Steps = Annotated[int, BeforeValidator(_whole_number("a number of steps", STEPS)), _bounds(STEPS)]
Seed = Annotated[int, BeforeValidator(_whole_number("a seed", SEED)), _bounds(SEED)]
Samples = Annotated[int, BeforeValidator(_whole_number("a number of samples", SAMPLES)), _bounds(SAMPLES)]
Format = Annotated[Literal["png", "jpeg", "webp"], BeforeValidator(_format), _FORMAT_SCHEMA]


class ManifestRow(BaseModel):
    """One row of a manifest. Every column that is not named here is carried through to the metadata."""

    model_config = ConfigDict(
        extra="allow",
        title="A row of an imagen manifest",
        json_schema_extra={"$schema": "https://json-schema.org/draft/2020-12/schema"},
    )

    prompt: Annotated[str, BeforeValidator(_prompt), _PROMPT_SCHEMA] = Field(description="The text of the picture.")
    id: Annotated[str, BeforeValidator(_id), _ID_SCHEMA] | None = Field(
        None, description="Your own name for the row, unique in the manifest; a part of the file names."
    )
    negative_prompt: Text | None = Field(None, description="What should not be in the picture.")
    backend: Annotated[tuple[str, ...], BeforeValidator(parse_backend_names), _BACKENDS_SCHEMA] | None = Field(
        None,
        description="Name of a configured backend; left out, the default one. "
        "A list (in CSV with commas): each is tried where the one before it cannot serve the row.",
    )
    width: Size | None = Field(None, description="Width in pixels.")
    height: Size | None = Field(None, description="Height in pixels.")
    aspect_ratio: Annotated[str, BeforeValidator(_aspect_ratio), _RATIO_SCHEMA] | None = Field(
        None, description="Width to height, as 16:9; beside it, width or height may stand, not both."
    )
    steps: Steps | None = Field(None, description="Number of inference steps.")
    seed: Seed | None = Field(None, description="Left out, one is derived from the row: the same in every run.")
    image: Annotated[str, BeforeValidator(_address), _ADDRESS_SCHEMA] | None = Field(
        None, description="Picture to start from: a path relative to the manifest, or an address (http, https)."
    )
    mask: Annotated[str, BeforeValidator(_address), _ADDRESS_SCHEMA] | None = Field(
        None, description="Likewise, of the part of image that is to change."
    )
    samples: Samples = Field(1, description="How many pictures to make of this row.")
    format: Format | None = Field(None, description="File format; left out, the configuration's.")
    guidance: Annotated[float, BeforeValidator(_guidance)] | None = Field(
        None, description="How closely to follow the prompt; goes to backend_opts under this name."
    )
    backend_opts: Annotated[dict[str, Any], BeforeValidator(_options)] = Field(
        default_factory=dict, description="Options that are sent to the backend as they are."
    )


def parse_row(row: RawRow, file: str) -> Iterator[Prompt | Problem]:
    """The prompt of a raw row, or all that is wrong with it."""
    known, extra, spelled = split_cells(_openai_row(row.cells))
    if row.defaults:
        known, extra = _with_defaults(known, extra, row.defaults)
    known.setdefault("prompt", None)
    try:
        valid = ManifestRow.model_validate(known)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            column = str(error["loc"][0])
            name = spelled.get(column, column)
            message = str(error["msg"]).removeprefix("Value error, ")
            yield Problem(file, row.cell_lines.get(name, row.line), name, message)
        return
    if valid.aspect_ratio and None not in {valid.width, valid.height}:
        yield Problem(file, row.line, "aspect_ratio", "stands beside width and height; give two of the three at most")
        return
    if valid.mask and not valid.image:
        yield Problem(file, row.line, "mask", "stands without image; give the picture that it belongs to")
        return
    if unfit := {name: reason for name, value in extra.items() if (reason := find_carrying_problem(value))}:
        for name, reason in unfit.items():
            yield Problem(file, row.cell_lines.get(name, row.line), name, f"cannot be carried along ({reason})")
        return
    yield _prompt_record(row.line, valid, extra)


def _prompt_record(line: int, valid: ManifestRow, extra: Mapping[str, Any]) -> Prompt:
    guidance = {} if valid.guidance is None else {"guidance": valid.guidance}
    return Prompt(
        line=line,
        prompt=valid.prompt,
        id=valid.id,
        negative_prompt=valid.negative_prompt,
        backends=valid.backend or (),
        width=valid.width,
        height=valid.height,
        aspect_ratio=valid.aspect_ratio,
        steps=valid.steps,
        seed=valid.seed,
        image=valid.image,
        mask=valid.mask,
        samples=valid.samples,
        format=valid.format,
        backend_opts={**guidance, **valid.backend_opts},
        extra=extra,
    )


def _with_defaults(
    known: dict[str, Any], extra: dict[str, Any], defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row's cells over the defaults; options are merged, and one way to say the size replaces the other."""
    base, base_extra, _ = split_cells(defaults)
    if "aspect_ratio" in known or {"width", "height"} <= known.keys():
        base = {name: value for name, value in base.items() if name not in {"width", "height", "aspect_ratio"}}
    merged = {**base, **known}
    ours, theirs = known.get("backend_opts", {}), base.get("backend_opts")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if "guidance" in known:
            theirs = {name: value for name, value in theirs.items() if name != "guidance"}
        merged["backend_opts"] = {**theirs, **ours}
    return merged, {**base_extra, **extra}


def _openai_row(cells: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of an OpenAI batch file as a row of ours; any other row as it is.

    `n` is samples, `size` is width and height, the model goes to the extra columns (the backend's is configured),
    everything else of the body is an option.
    """
    body = cells.get("body")
    if not isinstance(body, dict) or "custom_id" not in cells:
        return cells
    options = {name: value for name, value in body.items() if name not in {"prompt", "n", "size", "model"}}
    row = {name: value for name, value in cells.items() if name != "body"}
    row |= {"prompt": body.get("prompt"), "samples": body.get("n"), "model": body.get("model"), "backend_opts": options}
    size = str(body.get("size") or "auto")
    if size != "auto":
        row["width"], _, row["height"] = size.partition("x")
    return row
