"""The size of an image in pixels, where a row leaves something open."""

from __future__ import annotations

from tasks.core.records import Job

SMALLEST_SIDE_PX = 16


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
