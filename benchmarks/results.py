"""The figures of all measurements: one row for each thing measured, one value for each time it was."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import median


@cache
def describe_machine() -> str:
    """Processor, cores and versions, imagen's own commit among them: for the reader of the figures."""
    names = ("prefect", "aiohttp", "httpx", "replicate")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    python = f"Python {platform.python_version()}"
    return (
        f"{os.cpu_count()} shared cores ({_read_processor()}), {python}, {versions}, imagen of commit {_read_commit()}"
    )


def _read_commit() -> str:
    """Where this checkout stands, so that figures of an older program are told from new ones."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=9", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # a copy without its history
        return "unknown"


def _read_processor() -> str:
    info = Path("/proc/cpuinfo")
    lines: Iterable[str] = info.read_text().splitlines() if info.exists() else ()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing measured, some times."""

    part: str
    case: str
    subject: str
    figures: Mapping[str, list[float]]
    """By name, its unit at the end; a value of each time."""
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    machine: str = field(default_factory=describe_machine)
    """Processor, cores and versions; of each row, because parts are measured one at a time."""

    @property
    def key(self) -> tuple[str, str, str]:
        """The key of the measurement."""
        return self.part, self.case, self.subject

    def median(self, figure: str) -> float:
        """The middle value."""
        return median(self.figures[figure])

    def spread(self, figure: str, digits: int = 1) -> str:
        """The middle value and, of more than one, the least and the most."""
        values = self.figures[figure]
        middle = f"{median(values):,.{digits}f}"
        return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that was measured."""

    rows: Sequence[Row]

    def find(self, part: str, case: str, subject: str) -> Row | None:
        """One row, if it was measured."""
        return next((row for row in self.rows if row.key == (part, case, subject)), None)

    def of(self, part: str) -> list[Row]:
        """The rows of a part."""
        return [row for row in self.rows if row.part == part]

    def list_machines(self) -> dict[str, list[str]]:
        """The parts that were measured on each machine, that of the newest figures first."""
        parts: dict[str, list[str]] = {}
        # Of one day, what was measured last stands last: `with_part` puts it there.
        for row in sorted(self.rows, key=lambda row: row.date)[::-1]:
            found = parts.setdefault(row.machine, [])
            found += [] if row.part in found else [row.part]
        return parts

    def with_row(self, new: Row) -> Results:
        """The same with a row added, in the place of an older one of the same thing."""
        rows = {row.key: row for row in self.rows} | {new.key: new}
        return Results(rows=list(rows.values()))

    def with_part(self, measured: Sequence[Row]) -> Results:
        """The same with a part's rows, and none of it that were measured at another size or by an older program."""
        parts = {row.part for row in measured}
        return Results(rows=[*(row for row in self.rows if row.part not in parts), *measured])


def joined(rows: Sequence[Row]) -> Row:
    """Rows of the same thing as one, with all their values."""
    first = rows[0]
    figures = {name: [value for row in rows for value in row.figures[name]] for name in first.figures}
    return replace(first, figures=figures)


def load(path: Path) -> Results:
    """Read the results measured before; none if there is no file."""
    if not path.exists():
        return Results(rows=[])
    return Results(rows=[Row(**row) for row in json.loads(path.read_text())["rows"]])


def save(results: Results, path: Path) -> None:
    """Write them down."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"rows": [asdict(row) | {"figures": _shorten(row)} for row in results.rows]}
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _shorten(row: Row) -> dict[str, list[float]]:
    return {name: [round(value, 4) for value in values] for name, values in row.figures.items()}
