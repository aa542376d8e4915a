"""The figures as the tables of `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks import floor, planning, rate, scale, startup
from benchmarks.compare import PART as COMPARED
from benchmarks.contenders import CONTENDERS
from benchmarks.results import Results, Row
from benchmarks.targets import check_targets

METHOD = """\
Each line of a table is a process of its own. CPU (user and system) and peak resident memory are those of that process.
The simulator of Replicate (`imagen simulate`) and Prefect's server run in other processes on the same cores and are not counted.
Figures are the median and, in brackets, the least and the most of the runs. A single number is one run.
Libraries that only the tests need (numpy, pandas, tornado, trio) are hidden from the measured processes.

All five programs do the same work. They create a prediction, wait for its end, download the image, check it and write the file.
To check it they decode it, and compare the number of bytes. The files have the named size but few pixels (64x64).
So the way of the bytes is compared, and not the decoder. The account's limits are lifted.

(a) to (d) let the service hold each create open until the image is ready (`Prefer: wait`). (c) is `replicate.async_run` as it comes.
Nothing is quicker, but a killed program has paid for predictions whose ids it never learned.
imagen takes the id at once, puts it on disk, and asks for lists of what should be ready.
(a) to (d) retry nothing, remember nothing and flush nothing to the disk.
imagen does all of that, embeds the parameters into each file, and writes a table and usage rows.

*Generation* goes from the first create that reaches the service to the last file written.
*CPU per image* goes from the first create to the end of the process, and *total* from the start of the process to its end.
No run can be faster than images x latency / in flight."""

FLOOR = """\
The cost of each promise, added one after the other to the bare loop of (a).
The last line keeps on disk what imagen keeps, but has no limits, retries, budget, resume, display or Prefect around it.
(a) itself cannot be reached by anything that keeps these promises."""
STARTUP = """\
`{libraries}` is the minimal flow in a process that has imported imagen's libraries (SQLAlchemy, aiohttp, jsonschema, Pillow, typer).
With a running server, nothing that uses them can begin before."""


def build_document(results: Results) -> str:
    """`docs/benchmarks.md`."""
    missed = [(one.promise, one.case, one.measured, one.floor or "") for one in check_targets(results) if not one.met]
    sections = [
        "# Speed",
        f"Written by `make bench`. Measured on {results.machine}.",
        "![Generation, CPU and memory of the five contenders](benchmarks.svg)",
        METHOD,
        *(f"## {case}\n\n{_build_contenders(rows)}" for case, rows in _group_by_case(results.of(COMPARED))),
        *([f"## What the promises cost\n\n{FLOOR}"] if results.of(floor.PART) else []),
        *(f"**{case}**\n\n{_build_floor(rows)}" for case, rows in _group_by_case(results.of(floor.PART))),
        "## imagen alone\n\nAt zero latency, with its Replicate backend.\n\n" + _build_alone(results),
        f"## Start-up\n\n{STARTUP.format(libraries=startup.LIBRARIES)}\n\n{_build_startup(results)}",
        f"## What was promised\n\n{_build_promises(results)}",
        "## Missed\n\n" + (_build_table(("", "", "measured", "floor"), missed, words=2) if missed else "Nothing."),
    ]
    return "\n\n".join(sections) + "\n"


def _build_contenders(rows: Sequence[Row]) -> str:
    header = ("", "generation, s", "total, s", "images/s", "CPU ms/image", "peak MB", "requests/image")
    return _build_table(header, (_build_contender(row) for row in rows))


def _build_contender(row: Row) -> Sequence[str]:
    contender = CONTENDERS[row.subject]
    figures = ("generation_s", "total_s", "images_per_s", "cpu_ms_per_image", "peak_mb", "requests_per_image")
    return (f"({contender.letter}) {contender.title}", *(row.spread(name) for name in figures))


def _build_floor(rows: Sequence[Row]) -> str:
    header = ("", "generation, s", "images/s", "CPU ms/image", "peak MB", "requests/image")
    figures = ("generation_s", "images_per_s", "cpu_ms_per_image", "peak_mb", "requests_per_image")
    return _build_table(header, ((row.subject, *_build_figures(row, figures)) for row in rows))


def _build_alone(results: Results) -> str:
    header = ("", "total, s", "images/s", "CPU ms/image", "CPU, s", "peak MB")
    figures = ("total_s", "images_per_s", "cpu_ms_per_image", "cpu_s", "peak_mb")
    rows = [*results.of(scale.ENGINE), *results.of(scale.SCALE), *results.of(planning.PART)]
    table = _build_table(header, ((f"{row.subject}: {row.case}", *_build_figures(row, figures)) for row in rows))
    rates = (
        f"{row.case}: {row.spread('used_percent')} % of the rate used, {row.spread('refused_percent', 2)} % refused."
        for row in results.of(rate.PART)
    )
    return "\n\n".join([table, *rates])


def _build_startup(results: Results) -> str:
    rows = results.of(startup.PART)
    lines = ((row.case, f"`{row.subject}`", row.spread(next(iter(row.figures)), 2)) for row in rows)
    return _build_table(("", "", "seconds"), lines, words=2)


def _build_promises(results: Results) -> str:
    lines = ((one.promise, one.case, one.measured, "yes" if one.met else "**no**") for one in check_targets(results))
    return _build_table(("", "", "measured", "kept"), lines, words=2)


def _build_figures(row: Row, names: Iterable[str]) -> list[str]:
    return [row.spread(name) if name in row.figures else "" for name in names]


def _group_by_case(rows: Sequence[Row]) -> Iterable[tuple[str, list[Row]]]:
    return ((case, [row for row in rows if row.case == case]) for case in dict.fromkeys(row.case for row in rows))


def _build_table(header: Sequence[str], lines: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A table whose first columns are words; the others are numbers."""
    rule = [*["---"] * words, *["---:"] * (len(header) - words)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *lines))
