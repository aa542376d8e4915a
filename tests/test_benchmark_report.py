"""The benchmark's report: from given figures to tables, plot and promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import faults, floor, results, scale
from benchmarks.compare import PART as CONTENDERS_PART
from benchmarks.contenders import CONTENDERS
from benchmarks.floor_steps import STEPS
from benchmarks.report import build_document
from benchmarks.results import Results, Row, joined
from benchmarks.sizes import SIZES
from benchmarks.targets import check_targets

ROOT = Path(__file__).parents[1]
LONG, SHORT = (
    next(case.title for case in SIZES["full"].contenders if case.latency_s == latency_s and case.kind == "png")
    for latency_s in (1, 0.5)
)
FIGURES = ("of_ideal", "generation_s", "total_s", "images_per_s", "cpu_ms_per_image", "peak_mb", "requests_per_image")


def contender(name: str, *values: float, case: str = LONG) -> Row:
    """A row whose figures all have these values."""
    return Row(
        part=CONTENDERS_PART, case=case, subject=name, figures={f: list(values) for f in FIGURES}, machine="two cores"
    )


@pytest.fixture
def measured() -> Results:
    """Every contender with 10, 20 and 40; imagen with a little more."""
    rows = [contender(name, 10, 20, 40) for name in CONTENDERS if name != "imagen"]
    return Results(rows=[*rows, contender("imagen", 11, 20.5, 41)])


def test_a_row_shows_its_median_and_its_spread() -> None:
    """One value stands alone; more have the least and the most beside them."""
    row = joined([contender("imagen", 3), contender("imagen", 1), contender("imagen", 1_000)])
    assert row.spread("total_s") == "3.0 (1.0-1,000.0)"
    assert contender("imagen", 2.25).spread("total_s", 2) == "2.25"


def test_the_document_has_every_contender_and_every_promise(measured: Results) -> None:
    """What is kept and what is missed is said with its figure."""
    text = build_document(measured)
    for one in CONTENDERS.values():
        assert f"| ({one.letter}) {one.title} |" in text
    missed = text.split("## Missed")[1]
    assert f"| generation ≤ 1.05 of images x latency / in flight | {LONG} | 20.50 | 20.00 (bare_aiohttp) |" in missed
    assert f"| ahead of official_client | {LONG} | 1.02 |  |" in missed
    assert "two cores" in text


def test_the_floor_is_held_beside_the_limit(measured: Results) -> None:
    """Where a target is missed, a bare loop that keeps the same promises stands beside it."""
    last = Row(part=floor.PART, case=LONG, subject=STEPS[-1], figures={f: [16.0] for f in FIGURES})
    text = build_document(measured.with_row(last))
    assert f"| {STEPS[-1]} | 16.0 |" in text
    assert f"| ahead of httpx_aiohttp | {LONG} | 1.02 | 0.80 (a bare loop with the same promises) |" in text


def test_short_latencies_compare_rates_and_memory() -> None:
    """At 128 in flight the client's own cost shows: 0.9 of httpx, 1.4 of the official client, 250 MB."""
    rates = {"bare_aiohttp": 250.0, "httpx_aiohttp": 240.0, "official_client": 150.0, "imagen": 216.0}
    rows = [contender(name, rate, case=SHORT) for name, rate in rates.items()]
    found = check_targets(Results(rows=rows))
    assert [(one.measured, one.met) for one in found] == [("0.90", True), ("1.44", True), ("216.00 MB", True)]


def test_faults_are_held_against_the_run_without() -> None:
    """The whole run counts, the look for the last lost creates too, which stands beside it; so does the steady part; look-ups have their share."""
    rates = {faults.NO_FAULT: 100.0, "some": 90.0, faults.EACH: 75.0}
    rows = [
        Row(
            part=faults.PART,
            case="x",
            subject=name,
            figures={"images_per_s": [rate], "steady_per_s": [100.0], "jobs": [8_000], "look_ups_percent": [5.0]},
        )
        for name, rate in rates.items()
    ]
    found = check_targets(Results(rows=rows))
    # 40 are lost in the last 20 s, and of those one more.
    assert [one.floor for one in found if one.floor] == ["0.67 (40 s of looking for the last lost creates)"] * 2
    assert [one.met for one in found] == [True, True, True, False, True, True]


def test_promises_compare_a_size_with_the_one_before() -> None:
    """Ten times the jobs: memory, time a job, and the share that a resume takes."""
    few, many = (
        Row(part=scale.SCALE, case=case, subject=scale.GENERATED, figures=figures)
        for case, figures in {
            "few": {"images_per_s": [100.0], "generation_s": [10.0], "total_s": [12.0], "peak_mb": [200.0]},
            "many": {"images_per_s": [80.0], "generation_s": [125.0], "total_s": [130.0], "peak_mb": [240.0]},
        }.items()
    )
    resumed = Row(part=scale.SCALE, case="many", subject=scale.RESUMED, figures={"total_s": [6.5]})
    found = check_targets(Results(rows=[many, few, resumed]))
    assert [(one.measured, one.met) for one in found] == [("1.20", True), ("1.25", False), ("5.00 %", True)]


def test_the_plot_is_written_in_both_formats(measured: Results, tmp_path: Path) -> None:
    """The same figures give the same file, so that a change of it is a change of them."""
    from benchmarks.plot import draw  # noqa: PLC0415  it brings matplotlib, and every test process collects this file

    first = [path.read_bytes() for path in draw(measured, tmp_path / "a")]
    again = [path.read_bytes() for path in draw(measured, tmp_path / "b")]
    assert [data[:5] for data in first] == [b"\x89PNG\r", b"<?xml"]
    assert first == again


def test_figures_survive_their_file_and_newer_ones_replace_older(measured: Results, tmp_path: Path) -> None:
    """Parts can be measured one at a time."""
    newer = contender("imagen", 1, 2, 3)
    results.save(measured.with_row(newer), tmp_path / "b.json")
    found = results.load(tmp_path / "b.json")
    assert len(found.rows) == len(CONTENDERS)
    assert found.find(*newer.key) == newer


def test_a_part_that_was_measured_before_keeps_its_machine(measured: Results) -> None:
    """The line at the top is of the newest figures, and names the parts that are older."""
    newer = replace(contender("imagen", 1), machine="three cores", date="2999-01-01", part=faults.BACKENDS)
    found = measured.with_row(replace(newer, figures={"first_create_s": [1.0]}))
    assert f"Measured on three cores. Measured before ({CONTENDERS_PART}): two cores." in build_document(found)


def test_the_document_is_that_of_the_figures() -> None:
    """Nobody has written a figure by hand: docs/benchmarks.md is what the kept figures give."""
    found = results.load(ROOT / "docs" / "benchmarks.json")
    assert build_document(found) == (ROOT / "docs" / "benchmarks.md").read_text()


def test_the_newest_figures_name_their_machine_first(measured: Results) -> None:
    """Of the parts that were measured on one day, the first sentence is about the last one."""
    last = Row(part=floor.PART, case=LONG, subject=STEPS[-1], figures={f: [16.0] for f in FIGURES}, machine="a new one")
    text = build_document(measured.with_part([last]))
    assert f"Measured on a new one. Measured before ({CONTENDERS_PART}): two cores." in text
