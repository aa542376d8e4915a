"""The columns of a row: which names mean which, and where the others go.

The aliases are the spellings of real prompt collections and tools (PartiPrompts, DrawBench, DSG, TIFA,
DiffusionDB, open-prompts, OpenAI batch files; columns read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isnan
from typing import Any

from tasks.core.records import Problem

NAMES = {
    "id": ("id", "custom_id", "item_id", "uid"),
    "prompt": ("prompt", "Prompt", "Prompts", "prompts", "caption", "text", "p"),
    "negative_prompt": ("negative_prompt",),
    "backend": ("backend",),
    "width": ("width",),
    "height": ("height",),
    "aspect_ratio": ("aspect_ratio",),
    "steps": ("steps", "step", "num_step", "num_inference_steps", "st"),
    "seed": ("seed", "se"),
    "image": ("image",),
    "mask": ("mask",),
    "samples": ("samples",),
    "format": ("format",),
    "guidance": ("guidance", "guidance_scale", "cfg", "cfg_scale", "c"),
    "backend_opts": ("backend_opts",),
}
"""Every column with its aliases. Where a row has several names of one column the first one here counts and
the others are carried as extra columns."""

PROMPT_NAMES = frozenset(NAMES["prompt"])


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as a format gives it: cells by the names that stand in the file."""

    line: int
    cells: Mapping[str, Any]
    cell_lines: Mapping[str, int] = field(default_factory=dict)
    """Lines of single cells, where the format spreads a row over several."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Cells for columns that the row does not give."""


def is_column(name: str) -> bool:
    """Whether this name, or alias, has a meaning of its own."""
    return any(name in names for names in NAMES.values())


def check_header(names: Sequence[str], file: str, line: int | None) -> Problem | None:
    """What is wrong with the names of a table's columns."""
    if twice := {name for name in names if name and names.count(name) > 1}:
        return Problem(file, line, min(twice), "names two columns")
    if not PROMPT_NAMES & set(names):
        found, wanted = ", ".join(names), ", ".join(sorted(PROMPT_NAMES))
        return Problem(file, line, None, f"no column holds the prompts; found: {found}; it may be called {wanted}")
    return None


def split_cells(cells: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Mapping[str, str]]:
    """Sort a row's cells.

    Returns:
        Cells by canonical column, the extra cells, and the spelling in the file of each canonical column.
        Cells that give nothing (null, NaN, an empty text) are left out of the first.
    """
    meanings, spelled = _layout(tuple(cells))
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for (name, value), column in zip(cells.items(), meanings, strict=True):
        if column is None:
            extra[name] = None if _is_nan(value) else value
        elif not _gives_nothing(value) or column == "prompt":
            known[column] = value
    return known, extra, spelled


@lru_cache(maxsize=256)
def _layout(names: tuple[str, ...]) -> tuple[tuple[str | None, ...], Mapping[str, str]]:
    """What each cell of a row with these names means; rows of one file mostly share it."""
    # DiffusionDB's one-letter names come together; a `c` on its own is somebody's category.
    known = names if "p" in names else tuple(name for name in names if name != "c")
    spelled = {
        column: next(alias for alias in aliases if alias in known)
        for column, aliases in NAMES.items()
        if any(alias in known for alias in aliases)
    }
    meaning = {name: column for column, name in spelled.items()}
    return tuple(meaning.get(name) for name in names), spelled


def _gives_nothing(value: Any) -> bool:
    return value is None or value == "" or _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and isnan(value)
