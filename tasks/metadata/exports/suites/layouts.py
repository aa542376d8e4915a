"""The layouts of suites that read one file for each image.

Each was read from the suite's own loader, 2026-11:

| suite | loader | layout |
| --- | --- | --- |
| GenEval | djghosh13/geneval, evaluation/evaluate_images.py at 16f1681 | `00000/metadata.jsonl`, `00000/samples/0000.png` |
| T2I-CompBench | Karine-Huang/T2I-CompBench, BLIPvqa_eval/BLIP_vqa.py at 34134bd | `samples/PROMPT_000000.png` |
| WISE | PKU-YuanGroup/WISE, gpt_eval.py at 117c25e | `PROMPT_ID.png` |
| TIFA | tifascore/tifa_score.py of RachithP/tifa at 2f38a0b | `imgs.json` with a path for each caption's id |
| HPSv2 | tgxs002/HPSv2, hpsv2/evaluation.py at 067feee | `STYLE/00000.jpg`, numbered as the style's prompts |
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tasks.core.errors import InputError
from tasks.core.safe_text import error_text
from tasks.metadata.exports.suites.base import PlacedImage, Suite, SuiteImage, require_plain_name
from tasks.metadata.exports.suites.grids import DPG

HPS_STYLES = ("anime", "concept-art", "paintings", "photo")


def _place_geneval(image: SuiteImage) -> str:
    image.require("tag", suite="geneval")
    return f"{image.number:05}/samples/{image.sample:04}.png"


def _describe_geneval(folder: Path, placed: Sequence[PlacedImage]) -> list[PlacedImage]:
    """Each prompt's line of the suite's list, beside its images."""
    described: dict[str, PlacedImage] = {}
    for each in placed:
        path = f"{each.image.number:05}/metadata.jsonl"
        if path not in described:
            facts = {**each.image.extra, "prompt": each.image.prompt}
            (folder / path).write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
            described[path] = PlacedImage(each.image, path)
    return [*placed, *described.values()]


def _place_compbench(image: SuiteImage) -> str:
    prompt = require_plain_name(image.prompt, image, suite="t2i-compbench")
    if "_" in prompt:
        raise InputError(
            error_text(
                f"--format t2i-compbench: {image.place}: the prompt {prompt!r} has an underscore, and the suite reads "
                "prompts from file names up to the first"
            )
        )
    # The suite sorts by the number, and takes it for the image's own.
    return f"samples/{prompt}_{image.number * 100 + image.sample:06}.png"


def _place_wise(image: SuiteImage) -> str:
    return f"{require_plain_name(image.require('prompt_id', 'id', suite='wise'), image, suite='wise')}.png"


def _place_tifa(image: SuiteImage) -> str:
    image.require("id", suite="tifa")
    return f"images/{str(image.values['file_name']).rpartition('/')[2]}"


def _list_tifa(folder: Path, placed: Sequence[PlacedImage]) -> list[PlacedImage]:
    paths: dict[str, str] = {}
    for each in placed:
        key = each.image.require("id", suite="tifa")
        if paths.setdefault(key, each.path) != each.path:
            raise InputError(
                error_text(
                    f"--format tifa: {key!r} has several images, and TIFA takes one for each caption; "
                    'choose with --where "sample = 0" or --picked'
                )
            )
    (folder / "imgs.json").write_text(json.dumps(paths, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return [*placed, PlacedImage(placed[0].image, "imgs.json")]


def _place_hps(image: SuiteImage) -> str:
    style = image.require("style", suite="hpsv2")
    if style not in HPS_STYLES:
        known = ", ".join(HPS_STYLES)
        raise InputError(error_text(f"--format hpsv2: {image.place}: the style {style!r} is none of {known}"))
    return f"images/{style}/{image.group_number:05}.jpg"


SUITES = {
    suite.name: suite
    for suite in (
        Suite("geneval", "png", _place_geneval, _describe_geneval),
        Suite("t2i-compbench", "png", _place_compbench),
        DPG,
        Suite("wise", "png", _place_wise),
        Suite("tifa", None, _place_tifa, _list_tifa),
        Suite("hpsv2", "jpeg", _place_hps, group="style", pointed_at="images"),
    )
}
"""By the name that `--format` takes."""
