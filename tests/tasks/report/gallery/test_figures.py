"""The summary's numbers and plots, from rows as the ledger has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tasks.report.gallery.figures import Figures
from tasks.report.gallery.plots import FOLDER, MODELS_SHOWN, write_plots
from tasks.store.output.folder import OutputFolder
from tests.support.factories import START_US

DAY_US = 86_400_000_000


def row(**changes: Any) -> dict[str, Any]:
    """A job that succeeded at the start of our time."""
    values = {
        "state": "succeeded",
        "completed_at_us": START_US,
        "latency_ms": 1_000,
        "backend": "b",
        "model": "m",
        "cost_micros": 3_000,
        "error_kind": None,
        "scores": None,
    }
    return values | changes


def draw_figures(*rows: dict[str, Any]) -> Figures:
    """What these rows add up to."""
    figures = Figures()
    figures.add(rows)
    return figures


def test_rows_add_up_by_day_model_backend_and_kind() -> None:
    """An unknown cost is counted and is not 0; a failed job is no image; a held one fails as held."""
    tables = draw_figures(
        row(),
        row(cost_micros=None, latency_ms=3_000),
        row(completed_at_us=START_US + DAY_US, model="", latency_ms=None),
        row(state="failed", error_kind="moderation"),
        row(state="failed", error_kind="moderation"),
        row(state="held"),
        row(state="planned"),
    ).tables()
    assert tables == {
        "latency": [{"backend": "b", "images": 2, "median_ms": 2_000, "p95_ms": 2_900}],
        "cost": [
            {"day": "2026-09-21", "model": "m", "images": 2, "cost_usd": 0.003, "unknown": 1},
            {"day": "2026-09-22", "model": "b", "images": 1, "cost_usd": 0.003, "unknown": 0},
        ],
        "failures": [{"kind": "moderation", "jobs": 2}, {"kind": "held", "jobs": 1}],
    }


def texts(file: Path) -> set[str]:
    """All that can be read in a drawing."""
    return {element.text for element in ET.parse(file).iter() if element.text}  # noqa: S314  written by ourselves


async def test_plots_are_drawn_for_both_themes(tmp_path: Path) -> None:
    """One drawing for each question that has an answer, each in a light and a dark dress, with the names in it."""
    hostile = "$a_b$ <i>& 春 co</i>"
    kinds = [row(state="failed", error_kind=kind) for kind in ("odd", "x" * 99 + "1", "x" * 99 + "2")]
    figures = draw_figures(row(), row(model=hostile), row(backend="c\x00\u2028d"), *kinds)
    drawn = await write_plots(figures, OutputFolder(tmp_path))
    assert sorted(drawn.values()) == ["cost", "failures", "latency", "throughput"]
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {
        f"{name}-{theme}.svg" for name in drawn.values() for theme in ("light", "dark")
    }
    assert texts(tmp_path / FOLDER / "latency-dark.svg") >= {"b", "c d"}
    assert texts(tmp_path / FOLDER / "cost-light.svg") >= {"m", hostile}
    assert texts(tmp_path / FOLDER / "failures-light.svg") >= {"odd", "x" * 27 + "…"}


async def test_equal_figures_give_equal_files(tmp_path: Path) -> None:
    """A gallery that is written again changes no file for nothing."""
    for name in ("one", "two"):
        await write_plots(draw_figures(row()), OutputFolder(tmp_path / name))
    for path in (tmp_path / "one" / FOLDER).iterdir():
        assert path.read_bytes() == (tmp_path / "two" / FOLDER / path.name).read_bytes()


@pytest.mark.parametrize(
    ("rows", "drawn"),
    [
        ([], []),
        ([row(cost_micros=0, latency_ms=None, completed_at_us=None)], []),
        ([row(cost_micros=None)], ["latency", "throughput"]),
    ],
)
async def test_nothing_is_drawn_of_nothing(rows: list[dict[str, Any]], drawn: list[str], tmp_path: Path) -> None:
    """A plot without a value would be an empty frame."""
    assert sorted((await write_plots(draw_figures(*rows), OutputFolder(tmp_path))).values()) == drawn


async def test_many_models_stay_readable(tmp_path: Path) -> None:
    """The costliest models have names, the others are one part of the bar."""
    rows = [row(model=f"model-{number}", cost_micros=number * 1000) for number in range(1, MODELS_SHOWN + 6)]
    await write_plots(draw_figures(*rows), OutputFolder(tmp_path))
    named = {text for text in texts(tmp_path / FOLDER / "cost-light.svg") if "model-" in text}
    assert named == {f"model-{number}" for number in range(6, MODELS_SHOWN + 6)}
    assert "5 others" in texts(tmp_path / FOLDER / "cost-light.svg")


async def test_numbers_of_scores_are_drawn_by_model(tmp_path: Path) -> None:
    """A plot for each result; answers of yes and no, and hashes, are none."""
    rows = [row(model=model, scores='{"sharpness": 3.5, "blank": false, "phash": "00ff"}') for model in ("m", "n")]
    drawn = await write_plots(draw_figures(*rows), OutputFolder(tmp_path))
    assert drawn["sharpness by model"] == "score-1"
    assert "score-2" not in drawn.values()


async def test_numbers_are_compared_by_the_manifests_columns(tmp_path: Path) -> None:
    """By a column with few values; one with a value for each row makes no plot, and yes and no are shares in a table."""
    rows = [
        row(
            scores=f'{{"sharpness": {number}, "eye": {"true" if number % 2 else "false"}}}',
            extra=f'{{"light": "{"dawn" if number % 2 else "dusk"}", "code": {number}, "one": "same"}}',
        )
        for number in range(20)
    ]
    figures = draw_figures(*rows)
    drawn = await write_plots(figures, OutputFolder(tmp_path))
    assert [title for title in drawn if " by " in title and "score" in drawn[title]] == [
        "sharpness by model",
        "sharpness by light",
    ]
    shares = {
        (each["by"], each["value"]): each["mean"] for each in figures.tables()["scores"] if each["score"] == "eye"
    }
    assert shares == {("model", "m"): 0.5, ("light", "dawn"): 1, ("light", "dusk"): 0}
