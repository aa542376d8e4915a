"""DPG-Bench: up to four images of a prompt in one file, two by two.

Source: TencentQQGYLab/ELLA, dpg_bench/compute_dpg_bench.py at 025f650, read 2026-11. It takes every file of the folder
for an image, looks its prompt up by the file's name up to the first dot, and cuts squares of `--resolution` pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tasks.core.errors import InputError
from tasks.metadata.exports.suites.base import PlacedImage, Suite, SuiteImage, require_plain_name

MOST_TILES = 4
FOLDER = "images"


def _choose_path(image: SuiteImage) -> str:
    key = require_plain_name(image.require("item_id", "id", suite="dpg"), image, suite="dpg")
    if "." in key:
        raise InputError(
            f"--format dpg: {image.place}: the id {key!r} has a dot, and DPG-Bench reads ids up to the first"
        )
    if image.sample >= MOST_TILES:
        raise InputError(
            f'--format dpg: {image.place} has more than {MOST_TILES} samples; choose with --where "sample < {MOST_TILES}"'
        )
    return f"{FOLDER}/{key}.{image.sample}.png"


def _build_grids(folder: Path, placed: Sequence[PlacedImage]) -> list[PlacedImage]:
    """One file for each prompt in place of its images."""
    by_prompt: dict[str, list[PlacedImage]] = {}
    for each in placed:
        by_prompt.setdefault(each.path.rsplit(".", 2)[0], []).append(each)
    sides = {_measure_side(folder, each) for each in placed}
    # One resolution is given for the whole folder.
    if len(sides) > 1:
        raise InputError(
            f"--format dpg: images of {sorted(sides)} pixels; DPG-Bench takes one size, so export them apart"
        )
    return [_build_grid(folder, key, tiles) for key, tiles in by_prompt.items()]


def _measure_side(folder: Path, each: PlacedImage) -> int:
    with Image.open(folder / each.path) as image:
        if image.width != image.height:
            raise InputError(
                f"--format dpg: {each.image.place} is {image.width}x{image.height}, and DPG-Bench cuts squares out of a grid"
            )
        return image.width


def _build_grid(folder: Path, key: str, tiles: Sequence[PlacedImage]) -> PlacedImage:
    whole = f"{key}.png"
    if len(tiles) == 1:
        (folder / tiles[0].path).rename(folder / whole)
        return PlacedImage(tiles[0].image, whole)
    side = _measure_side(folder, tiles[0])
    grid = Image.new("RGB", (2 * side, 2 * side))
    for number, tile in enumerate(sorted(tiles, key=lambda tile: tile.image.sample)):
        with Image.open(folder / tile.path) as image:
            grid.paste(image.convert("RGB"), (side * (number % 2), side * (number // 2)))
        (folder / tile.path).unlink()
    grid.save(folder / whole)
    return PlacedImage(tiles[0].image, whole)


DPG = Suite("dpg", "png", _choose_path, _build_grids, pointed_at=FOLDER)
