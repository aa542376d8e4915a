"""`python -m benchmarks`: measures the chosen parts at the chosen size, keeps the figures, writes tables and plot.

With `--only`, the other figures are kept, so that the parts can be measured one at a time. Those of the size `small` show that
everything works, and stay out of the documents.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import plot, report, results
from benchmarks.compare import compare
from benchmarks.faults import measure_backends, measure_faults, measure_faults_on_dask
from benchmarks.floor import measure_floor
from benchmarks.measuring import ROOT
from benchmarks.planning import measure_planning
from benchmarks.rate import measure_rate
from benchmarks.results import Results, Row
from benchmarks.scale import measure_engine, measure_pixels, measure_scale
from benchmarks.sizes import QUICK_MIN, SIZES, Size
from benchmarks.startup import measure_startup

SCRATCH = ROOT / "runs" / "benchmarks"
"""Not in the system's folder for temporary files: that may be memory, where flushing to disk costs nothing."""
DOCS = ROOT / "docs"
FIGURES = "benchmarks.json"
Part = Callable[[Size, Path], Iterable[Row]]


def _compare_all(size: Size, scratch: Path) -> Iterable[Row]:
    for case in size.contenders:
        yield from compare(case, rounds=size.rounds, scratch=scratch)


def _measure_floors(size: Size, scratch: Path) -> Iterable[Row]:
    for case in size.contenders:
        yield from measure_floor(case, rounds=size.rounds, scratch=scratch, first=size.floor_from)


PARTS: Mapping[str, Part] = {
    "contenders": _compare_all,
    "floor": _measure_floors,
    "engine": lambda size, scratch: measure_engine(size.engine, rounds=size.rounds, scratch=scratch),
    "pixels": lambda size, scratch: measure_pixels(size.pixels, rounds=size.rounds, scratch=scratch),
    "scale": lambda size, scratch: measure_scale(size.scale, scratch=scratch),
    "startup": lambda size, scratch: measure_startup(rounds=size.starts, scratch=scratch, cold=size.cold),
    "faults": lambda size, scratch: measure_faults(size.faults, scratch=scratch, kinds=size.fault_kinds),
    "faults_on_dask": lambda size, scratch: measure_faults_on_dask(size.faults, scratch=scratch),
    "backends": lambda size, scratch: measure_backends(*size.backends, scratch=scratch),
    "planning": lambda size, scratch: measure_planning(size.rows, scratch=scratch),
    "rate": lambda size, scratch: measure_rate(size.rate_min, scratch=scratch),
}


def main(arguments: Sequence[str]) -> int:
    """Measure, and write figures and documents as they come. A part that fails is told, and the next one is measured.

    Returns:
        The exit status: 1 where a part failed.
    """
    options = _parse_options(arguments)
    docs = SCRATCH / "small" if options.size == "small" else DOCS
    if not options.only:
        (docs / FIGURES).unlink(missing_ok=True)
    failed = 0
    for part in options.only or PARTS:
        try:
            _measure(part, SIZES[options.size], docs)
        except (RuntimeError, OSError, subprocess.SubprocessError) as exc:
            sys.stderr.write(f"{part}: not measured: {exc}\n")
            failed = 1
    return failed


def _measure(part: str, size: Size, docs: Path) -> None:
    measured: list[Row] = []
    for row in PARTS[part](size, SCRATCH):
        _say(row)
        measured.append(row)
        results.save(results.load(docs / FIGURES).with_row(row), docs / FIGURES)
    results.save(results.load(docs / FIGURES).with_part(measured), docs / FIGURES)
    _write(results.load(docs / FIGURES), docs)


def _parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    minutes = ", ".join(f"{part} {QUICK_MIN[part]:g}" for part in PARTS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"Minutes of the size quick on two quiet cores: {minutes}; all of them {sum(QUICK_MIN.values()):g}.",
    )
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; once for each; default: all of them")
    return parser.parse_args(arguments)


def _write(found: Results, docs: Path) -> None:
    (docs / "benchmarks.md").write_text(report.build_document(found))
    plot.draw(found, docs / "benchmarks")


def _say(row: Row) -> None:
    figures = ", ".join(f"{name} {row.spread(name)}" for name in row.figures)
    sys.stderr.write(f"{row.part}, {row.case}, {row.subject}: {figures}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
