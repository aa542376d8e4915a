"""The figures as tables: the whole of them for `docs/benchmarks.md`, the main one for the README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks import floor, planning, rate, scale, startup
from benchmarks.compare import PART as COMPARED
from benchmarks.contenders import CONTENDERS
from benchmarks.results import Results, Row
from benchmarks.targets import Held, held

BEGIN, END = "<!-- benchmarks: written by make bench -->", "<!-- end of benchmarks -->"
METHOD = """\
Each line is a process of its own. CPU (user and system) and the highest resident memory are the process's own; the simulator of Replicate
(`imagen simulate`) and Prefect's server run in other processes on the same cores and are not counted. Figures are the median and, in brackets,
the least and the most of the runs; one number is one run. What only the tests' libraries bring (numpy, pandas, tornado, trio) is hidden from the measured processes.

All five contenders do the same work: create, wait until the prediction has ended, download, check that all bytes came and that they are a picture
(decoded), write the file. The files have the size that is named, but few pixels (64x64): what is compared is the way of the bytes,
not the decoder. The account's limits are lifted. (a) to (d) let the service hold each create open until the picture is ready (`Prefer: wait`; (c) is
`replicate.async_run` as it comes): nothing is quicker, and who is killed meanwhile has paid for predictions whose ids it never learned. imagen takes the id at once,
puts it on disk, and asks for lists of what should be ready. (a) to (d) retry nothing, remember nothing and flush nothing to the disk; imagen does all of that,
embeds the parameters into each file and writes a table and usage rows.

*Generation* goes from the first create that reaches the service to the last file written, *CPU per image* from the first create to the end of
the process, *total* from the start of the process to its end. No run can be faster than pictures x latency / in flight."""

FLOOR = """\
What each promise costs, added one after the other to the bare loop of (a). The last line keeps what imagen keeps on disk, but has no engine around
it: no limits, no retries, no budget, no resume, no display, no Prefect. (a) itself cannot be reached by anything that keeps these promises."""
STARTUP = """\
`{libraries}` is the minimal flow in a process that has imported the libraries that imagen stands on (SQLAlchemy, aiohttp, jsonschema, Pillow, typer): with
a server running already, nothing that uses them can begin before."""


def document(results: Results) -> str:
    """`docs/benchmarks.md`."""
    missed = [_missed(one) for one in held(results) if not one.met]
    sections = [
        "# Speed",
        f"Written by `make bench`. Measured on {results.machine}.",
        "![Generation, CPU and memory of the five contenders](benchmarks.svg)",
        METHOD,
        *(f"## {case}\n\n{_contenders(rows)}" for case, rows in _by_case(results.of(COMPARED))),
        *([f"## What the promises cost\n\n{FLOOR}"] if results.of(floor.PART) else []),
        *(f"**{case}**\n\n{_floor(rows)}" for case, rows in _by_case(results.of(floor.PART))),
        "## imagen alone\n\nAt zero latency, with its Replicate backend.\n\n" + _alone(results),
        f"## Start-up\n\n{STARTUP.format(libraries=startup.LIBRARIES)}\n\n{_startup(results)}",
        f"## What was promised\n\n{_promises(results)}",
        "## Missed\n\n" + ("\n".join(missed) or "Nothing."),
    ]
    return "\n\n".join(sections) + "\n"


def main_table(results: Results) -> str:
    """What the README shows: the contenders at every case, and the machine."""
    cases = [f"**{case}**\n\n{_contenders(rows)}" for case, rows in _by_case(results.of(COMPARED))]
    return "\n\n".join([*cases, f"Median (least to most). Measured on {results.machine}."])


def with_main_table(readme: str, results: Results) -> str:
    """The README with its table written anew."""
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n{main_table(results)}\n{END}{rest.partition(END)[2]}"


def _contenders(rows: Sequence[Row]) -> str:
    header = ("", "generation, s", "total, s", "images/s", "CPU ms/image", "peak MB", "requests/image")
    return _table(header, (_contender(row) for row in rows))


def _contender(row: Row) -> Sequence[str]:
    contender = CONTENDERS[row.subject]
    figures = ("generation_s", "total_s", "images_per_s", "cpu_ms_per_image", "peak_mb", "requests_per_image")
    return (f"({contender.letter}) {contender.title}", *(row.spread(name) for name in figures))


def _floor(rows: Sequence[Row]) -> str:
    header = ("", "generation, s", "images/s", "CPU ms/image", "peak MB", "requests/image")
    figures = ("generation_s", "images_per_s", "cpu_ms_per_image", "peak_mb", "requests_per_image")
    return _table(header, ((row.subject, *_figures(row, figures)) for row in rows))


def _alone(results: Results) -> str:
    header = ("", "total, s", "images/s", "CPU ms/image", "CPU, s", "peak MB")
    figures = ("total_s", "images_per_s", "cpu_ms_per_image", "cpu_s", "peak_mb")
    rows = [*results.of(scale.ENGINE), *results.of(scale.SCALE), *results.of(planning.PART)]
    table = _table(header, ((f"{row.subject}: {row.case}", *_figures(row, figures)) for row in rows))
    rates = (
        f"{row.case}: {row.spread('used_percent')} % of the rate used, {row.spread('refused_percent', 2)} % refused."
        for row in results.of(rate.PART)
    )
    return "\n\n".join([table, *rates])


def _startup(results: Results) -> str:
    rows = results.of(startup.PART)
    lines = ((row.case, f"`{row.subject}`", row.spread(next(iter(row.figures)), 2)) for row in rows)
    return _table(("", "", "seconds"), lines, words=2)


def _promises(results: Results) -> str:
    lines = ((one.promise, one.case, one.measured, "yes" if one.met else "**no**") for one in held(results))
    return _table(("", "", "measured", "kept"), lines, words=2)


def _missed(one: Held) -> str:
    floor = f"; the floor is {one.floor}" if one.floor else ""
    return f"- {one.promise} ({one.case}): {one.measured}{floor}"


def _figures(row: Row, names: Iterable[str]) -> list[str]:
    return [row.spread(name) if name in row.figures else "" for name in names]


def _by_case(rows: Sequence[Row]) -> Iterable[tuple[str, list[Row]]]:
    return ((case, [row for row in rows if row.case == case]) for case in dict.fromkeys(row.case for row in rows))


def _table(header: Sequence[str], lines: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A table whose first columns are words; the others are numbers."""
    rule = [*["---"] * words, *["---:"] * (len(header) - words)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *lines))
