"""Facts about OpenAI's image models: the inputs they take, and the tokens of an image.

It is data of this file: nothing of a request depends on an answer of the service. Models that are not here, those of
other servers among them, get what the row says, unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

STANDARD_SIZES = ("1024x1024", "1536x1024", "1024x1536")
AUTO = "auto"
FORMATS = frozenset({"png", "jpeg", "webp"})
GRID_PX = 16
LONGEST_RATIO = 3.0
MOST_PX = 3840 * 2160
LEAST_PX = 655_360
LONGEST_PX = 3840
LONGEST_PROMPT = 32_000
"""Sizes, qualities, formats and the longest prompt, in characters: openai-python 3.57.0, types/image_generate_params.py
(generated from OpenAI's own description of its API), read 2026-11-24. The fewest pixels: fal.ai's page of gpt-image-2, read
2026-11-26."""

_SIZE = re.compile(r"\d{1,5}x\d{1,5}")
# `gpt-image-1.5-2025-12-16` is priced and sized as `gpt-image-1.5`.
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """One model."""

    qualities: frozenset[str] = frozenset({"low", "medium", "high"})
    any_size: bool = False
    """True if sides are free within limits, or one of the standard sizes."""
    tokens: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Output tokens by quality, of a square image and of an oblong one of the standard sizes."""
    patches: Mapping[str, int] = field(default_factory=dict)
    """Patches along the longer side by quality, where the tokens follow from the size (`_count_tokens`)."""
    text_tokens: int = 0
    """Tokens of the text beside an image at most, as far as it was seen."""

    def size_problem(self, size: str) -> str | None:
        """Why the model does not take a size; None where it does."""
        if size == AUTO or size in STANDARD_SIZES:
            return None
        if not self.any_size:
            return f"{size} is none of its sizes ({', '.join(STANDARD_SIZES)})"
        return _check_free_size(size)

    def output_tokens(self, quality: object, size: object) -> int | None:
        """The most tokens that an image can be; None where that is not known."""
        # An unknown quality is counted as the dearest one, since a budget must not be too small.
        if self.patches:
            patches = self.patches.get(str(quality or AUTO)) or max(self.patches.values())
            return _count_tokens(str(size), patches)
        asked = self.tokens.get(str(quality or AUTO)) or max(self.tokens.values(), default=None)
        if asked is None or (size not in STANDARD_SIZES and size != AUTO):
            return None
        return asked[0] if size == STANDARD_SIZES[0] else max(asked)


def get_model_facts(model: str) -> ModelFacts | None:
    """Return the facts about a model, whatever its snapshot; None for somebody else's model."""
    return _FACTS.get(_SNAPSHOT.sub("", model))


def _check_free_size(size: str) -> str | None:
    if not _SIZE.fullmatch(size):
        return f"{size} is no size; write it as 1024x1024"
    width, height = (int(side) for side in size.split("x"))
    if width % GRID_PX or height % GRID_PX:
        return f"{size}: sides must be multiples of {GRID_PX}"
    if max(width, height) > LONGEST_RATIO * min(width, height):
        return f"{size}: no side may be more than 3 times the other"
    if width * height > MOST_PX or max(width, height) > LONGEST_PX:
        return f"{size} is more than 3840x2160"
    if width * height < LEAST_PX:
        return f"{size} is less than {LEAST_PX:,} pixels, the least that the model makes"
    return None


def _count_tokens(size: str, patches: int) -> int | None:
    """Tokens of an image of this size; None where the model chooses it.

    Source: community.openai.com, topic 1382699 (2026-06-05), which read it out of OpenAI's price calculator. It gives the
    calculator's counts (topic 1379464: 7024, 5488, 5063 and 12329), and the 120 of a recorded answer (low, 1536x864).
    """
    if not _SIZE.fullmatch(size):
        return None
    short, long = sorted(int(side) for side in size.split("x"))
    across = (2 * patches * short + long) // (2 * long) if long else 0
    return -(-patches * across * (2_000_000 + short * long) // 4_000_000)


TEXT_TOKENS = 400
"""Recorded answers of 2026-08 and 2026-09 count 120 to 335 an image."""
_QUALITIES_5 = frozenset({"low", "medium", "high", "xhigh", "max"})
_FREE_5 = ModelFacts(any_size=True, qualities=_QUALITIES_5)
# s-anand.net, 2026-09-26: 196, 439, 1756, 3122 and 7024 tokens for 1024x1024, which are the formula's with these patches.
_COUNTED_5 = ModelFacts(
    any_size=True,
    qualities=_QUALITIES_5,
    patches={"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96},
    text_tokens=TEXT_TOKENS,
)
_FACTS = {
    # The prices of an image on developers.openai.com (gpt-image-1-mini, read 2026-11), at 8 dollars a million tokens.
    "gpt-image-1-mini": ModelFacts(tokens={"low": (625, 750), "medium": (1375, 1875), "high": (4500, 6500)}),
    # community.openai.com, topic 1371851, read 2026-11.
    "gpt-image-1.5": ModelFacts(
        tokens={"low": (272, 408), "medium": (1056, 1584), "high": (4160, 6240)}, text_tokens=TEXT_TOKENS
    ),
    # Ended by OpenAI on 2026-10-23; other servers may still have it. The tokens are those of its successor.
    "gpt-image-1": ModelFacts(tokens={"low": (272, 408), "medium": (1056, 1584), "high": (4160, 6240)}),
    "gpt-image-2": ModelFacts(any_size=True, patches={"low": 16, "medium": 48, "high": 96}, text_tokens=TEXT_TOKENS),
    "gpt-image-2.5-flare": _COUNTED_5,
    "gpt-image-2.5-sunburst": _COUNTED_5,
    # They plan an image before they draw it (`complexity`), and how many tokens that takes, nobody says beforehand.
    "gpt-image-2.6-flare": _FREE_5,
    "gpt-image-2.6-sunburst": _FREE_5,
}
