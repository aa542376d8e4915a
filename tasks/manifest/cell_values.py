"""The values that each column takes: outside data in, one value of ours out, or a `ValueError` that says what to write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from math import gcd, isfinite, nan
from typing import Any

from tasks.core.values import find_json_problem
from tasks.manifest.lines import is_visible

SIZE_PX = (16, 16_384)
STEPS = (1, 1_000)
SAMPLES = (1, 1_000)
SEED = (0, 2**63 - 1)
"""Range of a usage table's bigint."""
PROMPT_CHARS = 32 * 1024
MOST_DIGITS = 1_000
"""Of a whole number in YAML and JSON: Python spells out no longer ones."""
ID_CHARS = 200
ADDRESS_CHARS = 2_048
RATIO_PART = 100
SIZE_NAMES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
"""fal's names of sizes (its model pages, read 2026-11)."""

_WHOLE = re.compile(r"[+-]?\d{1,40}(\.0+)?")
# 16 : 9, 16/9, 16x9, a ratio sign, Ideogram's ASPECT_16_9, and the time of day that a spreadsheet makes of 16:9.
_RATIO = re.compile(r"(?:aspect_)?(\d{1,5})\s*[:/x_\u00d7\u2236]\s*(\d{1,5})(?::00)?", re.IGNORECASE)
_SIDES = re.compile(r"(\d{1,6})\s*[x\u00d7*]\s*(\d{1,6})", re.IGNORECASE)
_PAIR = re.compile(r"[(\[]\s*(\d{1,6})\s*,\s*(\d{1,6})\s*[)\]]")
"""Fooocus writes its resolution so."""
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,(\d{1,2}|\d{4,})")
"""Three digits after it may be thousands, so only these are read."""
EXACT_FLOAT = 2**53
"""From here on a float no longer holds every whole number: its last digits are made up."""
_UNFIT_FOR_ID = re.compile(r"[/\\\x00-\x1f\x7f]")


def make_whole_number(what: str, limits: tuple[int, int], unit: str = "") -> Callable[[Any], int]:
    """A parser of whole numbers between two limits."""
    low, high = limits
    allowed = f"give a whole number from {low} to {high}{unit}"

    def parse(value: Any) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            # By text, not by `float`: a seed of 19 digits would lose its last ones.
            number = int(value.split(".")[0])
        # pandas writes whole numbers of a column with gaps as 42.0.
        elif isinstance(value, int | float | Decimal) and not isinstance(value, bool) and _is_whole(value):
            number = int(value)
        else:
            raise ValueError(f"{show(value)} is not {what}; {allowed}")
        if not low <= number <= high:
            raise ValueError(f"{show(number)} is not {what}; {allowed}")
        _check_digits(value)
        return number

    return parse


def _check_digits(value: Any) -> None:
    """Refuse a float that stands for several whole numbers, as pandas and spreadsheets make them of long ones."""
    if isinstance(value, float) and abs(value) >= EXACT_FLOAT:
        raise ValueError(f"{show(value)} has lost its last digits on the way; write the number as text")


def _is_whole(value: float | Decimal) -> bool:
    if isinstance(value, int):  # of any length: as a float, 400 digits overflow
        return True
    return (value.is_finite() if isinstance(value, Decimal) else isfinite(value)) and value == value // 1


def parse_text(value: Any) -> str:
    """A text as it stands."""
    # Most are texts, and asking each whether it is a mapping takes longer than all the rest.
    if not isinstance(value, str):
        raise ValueError(_explain_no_text(value))  # noqa: TRY004  pydantic reads ValueError
    # No database stores it, and no service takes it.
    if "\0" in value:
        raise ValueError("holds a NUL character; remove it")
    if len(value) > PROMPT_CHARS:
        raise ValueError(f"is {len(value)} characters long; at most {PROMPT_CHARS} are sent")
    return value


def _explain_no_text(value: Any) -> str:
    if isinstance(value, Mapping) and any(
        isinstance(part, Mapping) and "class_type" in part for part in value.values()
    ):
        return "holds a workflow of ComfyUI; give the text of its node, one row for each image"
    if isinstance(value, list | Mapping):
        return f"{show(value)} is not text; write one, and a row for each"
    return f"{show(value)} is not text; make it one (in JSON and YAML: in quotes)"


def parse_prompt(value: Any) -> str:
    """The text of an image."""
    # Zero-width characters come along when text is copied from a page, and an image of nothing would be paid for.
    if value is None or not is_visible(parse_text(value)):
        raise ValueError("is empty; give the text of the image or delete the row")
    return str(value)


def parse_id(value: Any) -> str:
    """A text that can be a part of a file name. Whole numbers of any type are written without a point."""
    is_number = not isinstance(value, str) and isinstance(value, int | float | Decimal)
    if is_number and not isinstance(value, bool) and _is_whole(value):
        _check_digits(value)
        # 7.0 and 7 are one id, whichever program wrote the table.
        value = str(int(value))
    text = parse_text(value).strip()
    # The id becomes a file name: it must not lead into another folder.
    if not text or len(text) > ID_CHARS or text in {".", ".."} or _UNFIT_FOR_ID.search(text):
        raise ValueError(
            f"{show(value)} cannot be a part of a file name; use 1 to {ID_CHARS} characters without / or \\"
        )
    return text


def parse_aspect_ratio(value: Any) -> str:
    """`W:H` in lowest terms."""
    match = _RATIO.fullmatch(value.strip()) if isinstance(value, str) else None
    across, down = (int(match[1]), int(match[2])) if match else (0, 0)
    shared = gcd(across, down) or 1
    across, down = across // shared, down // shared
    if not (0 < across <= RATIO_PART and 0 < down <= RATIO_PART):
        raise ValueError(f"{show(value)} is not an aspect ratio; write it as 16:9 (in YAML in quotes)")
    return f"{across}:{down}"


def parse_size(value: Any) -> dict[str, Any]:
    """Width and height, or the aspect ratio, of a `size` cell; nothing for `auto`."""
    if isinstance(value, Mapping) and {"width", "height"} <= value.keys():
        return {"width": value["width"], "height": value["height"]}
    # YAML reads 1:30 as a number; `keep_texts` has given the text back.
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in {"auto", "default"}:
        return {}
    if text in SIZE_NAMES:
        return dict(zip(("width", "height"), SIZE_NAMES[text], strict=True))
    # `x`, the multiplication sign and `*` are all in use.
    if sides := _SIDES.fullmatch(text.removesuffix("px").strip()) or _PAIR.fullmatch(text):
        return {"width": int(sides[1]), "height": int(sides[2])}
    if _RATIO.fullmatch(text):
        return {"aspect_ratio": text}
    raise ValueError(
        f"{show(value)} is not a size; write it as 1024x768, or leave the column out with --ignore-columns"
    )


def is_any_seed(value: Any) -> bool:
    """True if a seed cell asks for any seed, as -1 does in most tools: that is no seed of its own."""
    if value is None:  # as in most rows
        return False
    text = value.strip().casefold() if isinstance(value, str) else value
    return isinstance(text, str | int | float) and text in {-1, "-1", "-1.0", "random", "rand", "any", "auto"}


def parse_format(value: Any) -> str:
    """`png`, `jpeg` or `webp`."""
    name = value.strip().lower().removeprefix("image/").lstrip(".") if isinstance(value, str) else ""
    if (name := {"jpg": "jpeg"}.get(name, name)) not in {"png", "jpeg", "webp"}:
        raise ValueError(f"{show(value)} is not an image format; there are png, jpeg and webp")
    return name


def parse_address(value: Any) -> str:
    """The path or address of an image."""
    # The image columns of `datasets` are structs of bytes and path.
    content = value.get("bytes", "") if isinstance(value, Mapping) else value
    if content is None or isinstance(content, bytes):
        raise ValueError(
            "holds images themselves, not their paths; leave the column out with --ignore-columns, "
            "or write the images to files and give their paths"
        )
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > ADDRESS_CHARS:
        raise ValueError(f"{show(value)} is neither the path nor the address of an image")
    return value.strip()


def parse_options(value: Any) -> dict[str, Any]:
    """Named options, as an object or as its JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f'{show(value)} is not JSON; write an object, as {{"go_fast": false}}') from None
    if not isinstance(value, dict):
        raise ValueError(f"{show(value)} is not a set of named options")  # noqa: TRY004  pydantic reads ValueError
    if reason := find_json_problem(value):
        raise ValueError(f"{show(value)} cannot be sent as JSON ({reason})")
    return value


def parse_option_text(value: Any) -> Any:
    """An option's value out of a table: `0.8` and `true` are what they look like, anything else is text."""
    if not isinstance(value, str):
        return int(value) if isinstance(value, Decimal) and _is_whole(value) else value
    try:
        # Spreadsheets write TRUE.
        parsed = json.loads(value.lower() if value.lower() in {"true", "false"} else value)
    except (ValueError, RecursionError):
        return value
    return parsed if isinstance(parsed, int) or (isinstance(parsed, float) and isfinite(parsed)) else value


def parse_guidance(value: Any) -> float:
    """A finite number."""
    if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value.strip()):
        value = value.replace(",", ".")
    try:
        # `float(True)` would be a guidance of 1.
        number = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        number = nan
    if not isfinite(number):
        raise ValueError(f"{show(value)} is not a number; write it as 7.5")
    return number


def show(value: Any) -> str:
    """The value in a message, short enough for a line."""
    # Numbers and dates of Parquet as people write them, not as Python spells its types.
    text = str(value) if isinstance(value, Decimal | date | time | timedelta) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  fits on a line beside the rest
