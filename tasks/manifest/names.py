"""Names of columns: which spellings mean which column, and which names are another tool's settings.

The aliases are the spellings of real prompt collections and tools (PartiPrompts, DrawBench, DSG, TIFA, DiffusionDB,
open-prompts, request files of OpenAI, Replicate, fal and OpenRouter, A1111, InvokeAI; columns read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

NAMES = {
    "id": ("id", "custom_id", "item_id", "uid"),
    "prompt": ("prompt", "prompts", "caption", "text", "positive_prompt", "prompt_text", "p"),
    "negative_prompt": ("negative_prompt", "negative", "neg_prompt", "negative_text", "neg"),
    "backend": ("backend",),
    "width": ("width", "image_width", "w"),
    "height": ("height", "image_height", "h"),
    "aspect_ratio": ("aspect_ratio", "aspect", "ar"),
    "size": ("size", "image_size", "resolution", "dimensions"),
    "steps": (
        "steps",
        "step",
        "num_step",
        "num_steps",
        "num_inference_steps",
        "inference_steps",
        "sampling_steps",
        "st",
    ),
    "seed": ("seed", "se"),
    "image": ("image",),
    "mask": ("mask",),
    "samples": (
        *("samples", "num_images", "n", "count", "batch_size", "num_outputs", "num_samples", "number_of_images"),
        *("iterations", "images_per_prompt", "num_images_per_prompt", "n_images", "quantity", "batch_count", "n_iter"),
        "sample_count",
    ),
    "format": ("format", "output_format", "image_format"),
    "guidance": ("guidance", "guidance_scale", "cfg", "cfg_scale", "c"),
    "model": ("model", "model_id", "model_name"),
    "backend_opts": ("backend_opts",),
    "keep": ("keep",),
    "reject": ("reject",),
    "reroll": ("reroll",),
}
"""Every column with its aliases. Where a row has several names of one column, the first one here counts."""

TEXT_COLUMNS = frozenset({"id", "prompt"})
"""A second name of these is somebody's own text and is carried along; a second name of a setting must be confirmed."""

SETTINGS = frozenset(
    {
        *("checkpoint", "quality", "stylepreset", "background", "sampler", "samplername", "samplerindex", "scheduler"),
        *("scheduletype", "strength", "promptstrength", "imagestrength", "denoisingstrength", "denoise", "clipskip"),
        *("lora", "loras", "vae", "hiresfix", "hiresupscale", "upscale", "upscaler", "restorefaces", "tiling", "eta"),
        *("initimage", "inputimage", "referenceimage", "controlimage", "controlnet", "imageurl", "imageprompt"),
        *("maskimage", "maskurl", "output", "outputquality", "outputcompression", "responseformat", "moderation"),
        *("safetytolerance", "disablesafetychecker", "enablesafetychecker", "gofast", "megapixels", "magicprompt"),
        *("renderingspeed", "styletype", "modelhash", "stylize", "chaos", "niji"),
        *("presetstyle", "styles", "performance", "sharpness", "basemodel", "refinermodel", "refiner", "alchemy"),
        *("magicpromptoption", "seedbehaviour", "seedbehavior", "overridesettings", "enablehr", "imageconfig"),
        *("promptupsampling", "guidancerescale", "cfgrescale", "batchsizes", "seedresize", "subseed", "variationseed"),
    }
)
"""Settings of other tools, folded: none of them does anything here unless the user says what."""

RULES = frozenset({"keepbest", "keepby"})
"""Options about which images count, folded: a row has them in `keep`, and a column of that name would leave nothing out."""

WORDS = frozenset(
    {
        *(
            "test",
            "next",
            "texts",
            "tests",
            "mode",
            "models",
            "side",
            "site",
            "sized",
            "task",
            "tasks",
            "speed",
            "feed",
        ),
        *("need", "seen", "with", "weight", "court", "mount", "counts", "counter", "formal", "month", "stop", "stops"),
        *("dimension", "prompted", "captions", "captain", "aspects", "ask", "masks", "formats", "texture", "context"),
        *("deep", "keen", "keeps", "rejected", "rejects"),
    }
)
"""English words that are one letter away from a column and are not misspelt."""

TOGETHER = {"c": "p", "w": "h", "h": "w"}
"""Single letters that mean a column only beside another one: a `c` alone is somebody's category."""

SHORTEST_MISSPELT = 4
LONG_NAME = 9
"""Names from this length on may be two letters off."""

_BETWEEN = re.compile(r"[\s_\-\u200b-\u200f\u2060\ufeff]+")
_ALIASES = {
    alias.replace("_", ""): (column, rank) for column, names in NAMES.items() for rank, alias in enumerate(names)
}
# Sets of letters, made once: each unknown name is compared with every alias.
_ALIAS_LETTERS = {alias: frozenset(alias) for alias in _ALIASES if len(alias) >= SHORTEST_MISSPELT}
PROMPT_NAMES = frozenset(alias for alias, (column, _) in _ALIASES.items() if column == "prompt")
"""Folded."""


@lru_cache(maxsize=8_192)
def fold_name(name: str) -> str:
    """The name without case, spaces, underscores, hyphens and invisible characters."""
    # Invisible characters come from spreadsheets and web pages, and make two equal names differ.
    return _BETWEEN.sub("", name).casefold()


def find_alias(name: str) -> tuple[str, int] | None:
    """The column that a name means, and its rank among the column's names (0 counts first)."""
    return _ALIASES.get(fold_name(name))


def is_column(name: str) -> bool:
    """True if this name, or alias, has a meaning of its own."""
    return find_alias(name) is not None


def holds_prompts(names: Iterable[str]) -> bool:
    """True if one of these names means the prompt."""
    return not PROMPT_NAMES.isdisjoint(map(fold_name, names))


def has_column(names: Iterable[str], wanted: str) -> bool:
    """True if one of these names is the wanted one, in any spelling."""
    return fold_name(wanted) in map(fold_name, names)


@lru_cache(maxsize=8_192)
def guess_column(name: str) -> str | None:
    """The column that a misspelt name looks like; None where it looks like none."""
    folded = fold_name(name)
    # Short names are one letter from everything.
    if len(folded) < SHORTEST_MISSPELT or folded in WORDS:
        return None
    letters = frozenset(folded)
    for alias, alias_letters in _ALIAS_LETTERS.items():
        allowed = 2 if min(len(alias), len(folded)) >= LONG_NAME else 1
        # Each difference changes two letters at most; comparing sets spares nearly all of the work.
        if len(letters ^ alias_letters) <= 2 * allowed and _is_near(folded, alias, allowed):
            return _ALIASES[alias][0]
    return None


def _is_near(one: str, other: str, allowed: int) -> bool:
    """True if so many letters added, dropped, replaced or swapped with their neighbour make one of the other."""
    if abs(len(one) - len(other)) > allowed:
        return False
    # Edit distance with swaps, three rows of the table at a time.
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1] <= allowed
