"""The contenders of the benchmark: a faster one that does less would be no comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.compare import compute_figures, run_once
from benchmarks.contenders import CONTENDERS
from benchmarks.faults import CASES, measure_backends, measure_faults
from benchmarks.floor import measure_floor
from benchmarks.floor_steps import LEDGER, STEPS
from benchmarks.measuring import Measured
from benchmarks.pictures import get_least_bytes, make_pictures
from benchmarks.services import build_private_environ
from benchmarks.sizes import Case

CASE = Case(jobs=8, in_flight=4, latency_s=0.1, side_px=64)


@pytest.mark.soak
@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_does_the_whole_work(name: str, prefect_url: str, prefect_home: Path, tmp_path: Path) -> None:
    """Eight pictures are created and eight of full size are written, and what that took is measured."""
    served = {"PREFECT_API_URL": prefect_url, "PREFECT_HOME": str(prefect_home)}
    row = run_once(name, CASE, build_private_environ(tmp_path / "home") | served, tmp_path)
    assert row.median("requests_per_image") >= 2
    assert CASE.latency_s < row.median("generation_s") < row.median("total_s")
    assert 0 < row.median("cpu_ms_per_image") < row.median("cpu_s") / CASE.jobs * 1e3
    assert row.median("peak_mb") > 10


@pytest.mark.soak
def test_every_step_of_the_floor_does_the_whole_work(tmp_path: Path) -> None:
    """The loop without an engine makes the same eight pictures at every step, and the last one leaves them in a ledger."""
    rows = list(measure_floor(CASE, rounds=1, scratch=tmp_path))
    assert [row.subject for row in rows] == list(STEPS)
    assert all(row.median("requests_per_image") >= 2 and row.median("cpu_ms_per_image") > 0 for row in rows)
    assert rows[-1].subject == LEDGER


def test_work_that_is_not_whole_is_no_measurement(tmp_path: Path) -> None:
    """One image too few, or one that is smaller than all that were sent, is an error and no figure."""
    measured = Measured(begun_s=0, ended_s=2, samples=[(0, 0), (2, 1)], peak_bytes=1)
    truth = {"created": 2, "duplicates": 0, "created_at_s": [1.0, 1.5], "requests_total": 4}
    case = Case(jobs=2, in_flight=1, latency_s=0, side_px=64)
    whole = get_least_bytes(make_pictures(64, tmp_path), "webp")
    (made := tmp_path / "made").mkdir()
    (made / "0.webp").write_bytes(bytes(whole))
    (made / "1.webp").write_bytes(bytes(whole - 1))
    with pytest.raises(RuntimeError, match="of 2 images 2 were made and 1 written"):
        compute_figures(measured, case, truth, made, tmp_path)
    (made / "1.webp").write_bytes(bytes(whole))
    assert compute_figures(measured, case, truth, made, tmp_path)["requests_per_image"] == [2.0]


@pytest.mark.soak
def test_lost_answers_and_slow_backends_are_measured(tmp_path: Path) -> None:
    """Every kind of trouble and both backends get a row, from a ledger in which each job has its end."""
    rows = [*measure_faults(8, scratch=tmp_path, kinds=True), *measure_backends(2, 8, scratch=tmp_path)]
    assert [row.subject for row in rows][:-2] == list(CASES)
    assert all(row.median("billed_twice") == 0 for row in rows[:-2])
    assert all(row.median("last_image_s") > row.median("first_create_s") >= 0 for row in rows[-2:])
