"""The examples of docs/scores.md do what the page says."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import duckdb
from PIL import Image

from tasks.scores.base import Sample, Score, ScoreContext
from tasks.scores.score_batch import score_batch
from tasks.store.output.folder import OutputFolder
from tests.support.factories import make_job
from tests.tasks.scores.images import draw_scene, encode, write_images

PAGE = (Path(__file__).parents[3] / "docs" / "scores.md").read_text()


def find_block(language: str) -> str:
    """The page's example in this language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def test_the_query_finds_the_sharpest_images(out: Path) -> None:
    """DuckDB reads numbers and flags out of the column; blank images are left out."""
    blurred = draw_scene(2).resize((8, 8)).resize((128, 128))
    images = [Image.effect_noise((128, 128), 90), blurred, Image.new("RGB", (64, 64))]
    asyncio.run(write_images(out, [(make_job(number), encode(image)) for number, image in enumerate(images)]))
    asyncio.run(score_batch(OutputFolder(out), ["blank", "sharpness"]))
    rows = duckdb.execute(find_block("sql").replace("runs/foxes", str(out))).fetchall()
    assert [row[0] for row in rows] == ["row-1", "row-0"]
    assert rows[0][1] < rows[1][1]


def test_the_example_score_measures() -> None:
    """The class of the page is a score."""
    names: dict[str, Any] = {}
    exec(find_block("python"), names)  # noqa: S102  our own page
    score: Score = names["Redness"](ScoreContext(None))
    red = Sample(Path(), encode(Image.new("RGB", (8, 8), "red")), {})
    assert (score.batch, score.measure([red])) == (1, [{"redness": 1.0}])
