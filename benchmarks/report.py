"""The figures as the tables of `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks import faults, floor, planning, rate, scale, startup
from benchmarks.compare import PART as COMPARED
from benchmarks.contenders import CONTENDERS
from benchmarks.results import Results, Row
from benchmarks.targets import check_targets

METHOD = """\
Each line of a table is a process of its own. CPU (user and system) and peak resident memory are those of that process.
The simulator of Replicate (`imagen simulate`) and Prefect's server run in other processes on the same cores and are not counted.
Figures are the median and, in brackets, the least and the most of the runs. A single number is one run.
*Others* is the share of the machine that programs outside the measurement used meanwhile: beyond a few percent, distrust the line.
Libraries that only the tests need (numpy, pandas, tornado, trio) are hidden from the measured processes.

All programs do the same work. They create a prediction, wait for its end, download the image and write the file.
The images are drawings with grain, made once. At 1024x1024 they weigh what a model's do: WebP and JPEG some 200 KB, PNG 1.4 MB.
The simulator sends them with the headers that Replicate's storage sends. The account's limits are lifted.

(a) to (d) let the service hold each create open until the image is ready (`Prefer: wait`). (c) is `replicate.async_run` and its file output.
Nothing is quicker, but a killed program has paid for predictions whose ids it never learned.
imagen has no such setting: a kill would leave a look-up of 20 s for every job in flight, to save less than one list call an image.
imagen takes the id at once, puts it on disk, and asks for lists of what should be ready.
(a) to (d) retry nothing, remember nothing, check nothing but the number of bytes and flush nothing to the disk.
imagen does all of that, embeds the parameters into each file, and writes a table and usage rows.
It proves each file whole by checksums and lengths (`verify: auto`), or decodes it besides (`verify: decode`); see [Images](images.md).

*Generation* goes from the first create that reaches the service to the last file written.
*Of ideal* holds it against images x latency / in flight, than which no run can be faster.
*CPU per image* goes from the first create to the end of the process, and *total* from the start of the process to its end."""

FLOOR = """\
The cost of the promises, added one after the other to the bare loop of (a).
The last line keeps on disk what imagen keeps, but has no limits, retries, budget, resume, display or Prefect around it.
(a) itself cannot be reached by anything that keeps these promises."""
FAULTS = """\
`imagen run`, and a service that loses answers. *Images/s* goes from the first create to the last end of a job.
At the end the last lost creates are looked for during {patience:g} s (`lookup_patience_s`), however many there are.
At some 200 images a second, one or two of those are lost once more when they are sent again, and looked for as long.
The rate without faults and these waits are the floor. *Steady* leaves them out: it goes from a tenth to eight tenths of the images.
*Lists* and *look-ups* are list calls: those that show which images are ready, and those that look for lost creates.
Both are shares of the {reads:g} reads for each create that Replicate allows an account (3,000 reads and 600 creates a minute).
This run makes some twenty times as many creates a minute."""
STARTUP = """\
`{libraries}` is the minimal flow in a process that has imported imagen's libraries (SQLAlchemy, aiohttp, jsonschema, Pillow, typer).
With a running server, nothing that uses them can begin before."""


def build_document(results: Results) -> str:
    """`docs/benchmarks.md`."""
    missed = [(one.promise, one.case, one.measured, one.floor or "") for one in check_targets(results) if not one.met]
    sections = [
        "# Speed",
        "Written by `make bench`. " + _describe_machines(results),
        "![Generation, CPU and memory of the contenders](benchmarks.svg)",
        METHOD,
        *(f"## {case}\n\n{_build_contenders(rows)}" for case, rows in _group_by_case(results.of(COMPARED))),
        *([f"## What the promises cost\n\n{FLOOR}"] if results.of(floor.PART) else []),
        *(f"**{case}**\n\n{_build_floor(rows)}" for case, rows in _group_by_case(results.of(floor.PART))),
        "## imagen alone\n\nAt zero latency, with its Replicate backend.\n\n" + _build_alone(results),
        *([f"## Under faults\n\n{_build_faults(results)}"] if results.of(faults.PART) else []),
        f"## Start-up\n\n{STARTUP.format(libraries=startup.LIBRARIES)}\n\n{_build_startup(results)}",
        f"## Targets\n\n{_build_promises(results)}",
        "## Missed\n\n" + (_build_table(("", "", "measured", "floor"), missed, words=2) if missed else "Nothing."),
    ]
    return "\n\n".join(sections) + "\n"


def _describe_machines(results: Results) -> str:
    """The machine of the newest figures, and for which parts another one, or other versions, hold."""
    (newest, _), *others = results.list_machines().items()
    before = (f" Measured before ({', '.join(parts)}): {machine}." for machine, parts in others)
    return f"Measured on {newest}.{''.join(before)}"


COLUMNS: Mapping[str, str] = {
    "generation, s": "generation_s",
    "of ideal": "of_ideal",
    "total, s": "total_s",
    "images/s": "images_per_s",
    "CPU ms/image": "cpu_ms_per_image",
    "CPU, s": "cpu_s",
    "peak MB": "peak_mb",
    "requests/image": "requests_per_image",
    "others, %": "others_percent",
}
FAULT_COLUMNS: Mapping[str, str] = {
    "images/s": "images_per_s",
    "steady": "steady_per_s",
    "lists, %": "lists_percent",
    "look-ups, %": "look_ups_percent",
    "failed": "failed",
    "billed twice": "billed_twice",
    "CPU ms/image": "cpu_ms_per_image",
    "others, %": "others_percent",
}
BACKEND_COLUMNS: Mapping[str, str] = {
    "first create, s": "first_create_s",
    "last image, s": "last_image_s",
    "others, %": "others_percent",
}


def _build_contenders(rows: Sequence[Row]) -> str:
    titled = [(f"({CONTENDERS[row.subject].letter}) {CONTENDERS[row.subject].title}", row) for row in rows]
    return _build_figures_table(titled, {name: key for name, key in COLUMNS.items() if key != "cpu_s"})


def _build_floor(rows: Sequence[Row]) -> str:
    shown = {name: key for name, key in COLUMNS.items() if key not in {"cpu_s", "total_s"}}
    return _build_figures_table([(row.subject, row) for row in rows], shown)


def _build_faults(results: Results) -> str:
    table = _build_figures_table(
        [
            (f"{row.subject}{where}: {row.case}", row)
            for part, where in ((faults.PART, ""), (faults.DASK, f", {faults.DASK_WORKERS} Dask workers"))
            for row in results.of(part)
        ],
        FAULT_COLUMNS,
    )
    waits = _build_figures_table([(row.subject, row) for row in results.of(faults.BACKENDS)], BACKEND_COLUMNS)
    intro = "Rows of a slow backend in front of those of a quick one (0.3 s); seconds since the batch's first create:"
    return "\n\n".join(
        [FAULTS.format(reads=faults.READS_FOR_EACH_CREATE, patience=faults.PATIENCE_S), table, intro, waits]
    )


def _build_figures_table(titled: Sequence[tuple[str, Row]], columns: Mapping[str, str]) -> str:
    """A line for each row; of the columns those that there is a figure for."""
    shown = {name: key for name, key in columns.items() if any(key in row.figures for _, row in titled)}
    lines = ((title, *_build_figures(row, shown.values())) for title, row in titled)
    return _build_table(("", *shown), lines)


def _build_alone(results: Results) -> str:
    parts = (scale.ENGINE, scale.PIXELS, scale.SCALE, planning.PART)
    titled = [(f"{row.subject}: {row.case}", row) for part in parts for row in results.of(part)]
    shown = {name: key for name, key in COLUMNS.items() if key not in {"generation_s", "requests_per_image"}}
    table = _build_figures_table(titled, shown)
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
