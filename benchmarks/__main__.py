"""`python -m benchmarks`: measures the chosen parts at the chosen size, keeps the figures, writes tables and plot.

With `--only`, the other figures are kept, so that the parts can be measured one at a time. Those of the size `small` show that
everything works, and stay out of the documents.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import plot, report, results
from benchmarks.compare import compare
from benchmarks.floor import measure_floor
from benchmarks.measuring import ROOT
from benchmarks.planning import measure_planning
from benchmarks.rate import measure_rate
from benchmarks.results import Results, Row
from benchmarks.scale import measure_engine, measure_scale
from benchmarks.sizes import SIZES, Size
from benchmarks.startup import measure_startup

SCRATCH = ROOT / "runs" / "benchmarks"
"""Not in the system's folder for temporary files: that may be memory, where flushing to disk costs nothing."""
DOCS = ROOT / "docs"
FIGURES = "benchmarks.json"
Part = Callable[[Size, Path], Iterable[Row]]


def _measure_each_case(measure: Callable[..., Iterable[Row]]) -> Part:
    """The cases of the contenders, one after the other."""

    def part(size: Size, scratch: Path) -> Iterable[Row]:
        for case in size.contenders:
            yield from measure(case, rounds=size.rounds, scratch=scratch)

    return part


PARTS: Mapping[str, Part] = {
    "contenders": _measure_each_case(compare),
    "floor": _measure_each_case(measure_floor),
    "engine": lambda size, scratch: measure_engine(size.engine, rounds=size.rounds, scratch=scratch),
    "scale": lambda size, scratch: measure_scale(size.scale, scratch=scratch),
    "planning": lambda size, scratch: measure_planning(size.rows, scratch=scratch),
    "rate": lambda size, scratch: measure_rate(size.rate_min, scratch=scratch),
    "startup": lambda size, scratch: measure_startup(rounds=size.rounds, scratch=scratch),
}


def main(arguments: Sequence[str]) -> None:
    """Measure, and write figures and documents as they come: what follows may fail."""
    options = _parse_options(arguments)
    docs = SCRATCH / "small" if options.size == "small" else DOCS
    if not options.only:
        (docs / FIGURES).unlink(missing_ok=True)
    for part in options.only or PARTS:
        measured: list[Row] = []
        for row in PARTS[part](SIZES[options.size], SCRATCH):
            _say(row)
            measured.append(row)
            results.save(results.load(docs / FIGURES).with_row(row), docs / FIGURES)
        results.save(results.load(docs / FIGURES).with_part(measured), docs / FIGURES)
        _write(results.load(docs / FIGURES), docs)


def _parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
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
    main(sys.argv[1:])
