"""The size of an image in pixels, where a row leaves something open."""

from __future__ import annotations

from math import gcd

from tasks.core.records import Job

SMALLEST_SIDE_PX = 16
ASPECT_RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
"""Aspect ratios that the FLUX models take, and most others (replicate/cog-flux, predict.py, read 2026-11)."""
SIDES_APART = 0.05
"""Sides are usually rounded to multiples of 16 or 64: those that people give SDXL are within 4 % of one of these."""


def resolve_requested_size(job: Job, *, default: tuple[int, int], grid_px: int) -> tuple[int, int]:
    """Width and height in pixels.

    Given sides win, as they are. A missing one follows the aspect ratio; without any side, the ratio is laid around
    the default's area, with sides that are multiples of `grid_px`.
    """
    # Both sides given: what the row says is sent, and the service refuses a size that it does not make.
    if job.width and job.height:
        return job.width, job.height
    # Without a ratio, the default's own sides are the ratio.
    across, down = (int(part) for part in job.aspect_ratio.split(":")) if job.aspect_ratio else default
    if job.width or job.height:
        width = job.width or _round_to_grid((job.height or 0) * across / down, grid_px)
        height = job.height or _round_to_grid((job.width or 0) * down / across, grid_px)
        return width, height
    # The area stays that of the default, so that a wide image costs and takes about as much as a square one.
    scale = (default[0] * default[1] / (across * down)) ** 0.5
    return _round_to_grid(across * scale, grid_px), _round_to_grid(down * scale, grid_px)


def _round_to_grid(side_px: float, grid_px: int) -> int:
    # Rounding a very narrow ratio could give a side of zero.
    return max(SMALLEST_SIDE_PX, round(side_px / grid_px) * grid_px)


def spell_ratio(across: int, down: int, *, apart: float) -> str:
    """The usual ratio nearest to these sides, if it is no more than `apart` away; else their own, in lowest terms."""
    nearest = min(ASPECT_RATIOS, key=lambda known: _measure_distance(known, across, down))
    if _measure_distance(nearest, across, down) <= apart:
        return nearest
    shared = gcd(across, down)
    return f"{across // shared}:{down // shared}"


def _measure_distance(known: str, across: int, down: int) -> float:
    """The difference between the sides and a ratio: 0.05 for 5 %."""
    known_across, known_down = (int(part) for part in known.split(":"))
    wide, narrow = across * known_down, down * known_across
    return max(wide, narrow) / min(wide, narrow) - 1
