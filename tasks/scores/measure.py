"""Some images through some scores, in a thread: files read and compared with the ledger, results checked.

Takes rows of the ledger, gives results and the images that were skipped with the reason. Writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping

from tasks.core.errors import BadImage, ConfigError, ImagenError, UnreadableFile
from tasks.core.safe_text import error_text
from tasks.core.temporary_folder import TemporaryFolder
from tasks.ledger.scores import ScoreRow, Value
from tasks.metadata.columns import build_plain_row
from tasks.scores.base import Sample, Score, decode_rgb
from tasks.store.output import Output
from tasks.store.output.folder import OutputFolder

MOST_TEXT_CHARACTERS = 1_000
"""Of one result; a score gives numbers, and at most a short text."""
MOST_INTEGER = 2**63 - 1
MOST_RESULTS = 100
"""Of one score for one image."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that could not be scored."""

    job_id: str
    label: str
    reason: str


@dataclass(slots=True)
class Measured:
    """Results of some images, and those that gave none."""

    rows: list[ScoreRow] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Todo:
    """One image and the scores that it lacks."""

    row: RowMapping
    names: frozenset[str]


def measure_images(out: Output, scores: Mapping[str, Score], todo: Sequence[Todo]) -> Measured:
    """Score some images.

    Raises:
        ConfigError: A score failed, or gave what is no result.
        OutputError: The storage cannot be reached.
    """
    found = Measured()
    with TemporaryFolder() as folder:
        samples = []
        for each in todo:
            try:
                samples.append((each, _read_sample(out, each.row, Path(folder))))
            except UnreadableFile as exc:
                found.skipped.append(_build_skipped(each.row, str(exc)))
        if all(score.batch == 1 for score in scores.values()):
            for each, sample in samples:
                _measure_one(scores, each, sample, found)
        else:
            for name, score in scores.items():
                _measure_batch(name, score, [pair for pair in samples if name in pair[0].names], found)
    return found


def _read_sample(out: Output, row: RowMapping, folder: Path) -> Sample:
    """The file of a job.

    Raises:
        UnreadableFile: It is missing, cannot be read, or is not the one that was made.
    """
    name = str(row["file_name"])
    if (data := out.read(name)) is None:
        raise UnreadableFile("the file is missing")
    # Its scores would stand beside a digest that is not its own.
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise UnreadableFile("the file is not the one that was made: it was changed afterwards")
    if isinstance(out, OutputFolder):
        return Sample(out.home / name, data, build_plain_row(row))
    path = folder / f"{row['job_id']}{Path(name).suffix}"
    path.write_bytes(data)
    return Sample(path, data, build_plain_row(row))


def _measure_one(scores: Mapping[str, Score], each: Todo, sample: Sample, found: Measured) -> None:
    """Several scores of one image, which is decoded once."""
    with ExitStack() as stack:
        try:
            image = stack.enter_context(decode_rgb(sample.data))
        except BadImage as exc:
            found.skipped.append(_build_skipped(each.row, str(exc)))
            return
        shared = replace(sample, decoded=image)
        for name in sorted(each.names):
            _measure_batch(name, scores[name], [(each, shared)], found)


def _measure_batch(name: str, score: Score, samples: Sequence[tuple[Todo, Sample]], found: Measured) -> None:
    if not samples:
        return
    try:
        results = score.measure([sample for _, sample in samples])
    except BadImage as exc:
        if len(samples) == 1:
            found.skipped.append(_build_skipped(samples[0][0].row, str(exc)))
            return
        # One damaged image costs the others nothing but a second look.
        for pair in samples:
            _measure_batch(name, score, [pair], found)
        return
    except ImagenError:
        raise
    # Code of another package may raise anything, and no traceback reaches a user.
    except Exception as exc:
        raise ConfigError(f"score {name!r} failed ({type(exc).__name__}: {error_text(exc)})") from exc
    _keep_results(name, results, [each for each, _ in samples], found)


def _keep_results(name: str, results: Any, todo: Sequence[Todo], found: Measured) -> None:
    if not isinstance(results, Sequence) or len(results) != len(todo):
        raise ConfigError(f"score {name!r} did not give one result for each of {len(todo)} images")
    for each, values in zip(todo, results, strict=True):
        checked = _check_results(name, values)
        row = each.row
        found.rows.append(ScoreRow(job_id=row["job_id"], sha256=row["sha256"], name=name, results=checked))


def _check_results(name: str, values: Any) -> dict[str, Value]:
    """Results of another package's code, as the ledger may keep them.

    Raises:
        ConfigError: They are none.
    """
    if not isinstance(values, Mapping) or not 0 < len(values) <= MOST_RESULTS:
        raise ConfigError(f"score {name!r} gave {error_text(values, most_chars=80)}, not results by their names")
    for key, value in values.items():
        if not isinstance(key, str) or not (key == name or key.startswith(f"{name}_")):
            raise ConfigError(f"score {name!r} gave {key!r}; each name is {name} or begins with {name}_")
        if not _is_value(value):
            shown = error_text(value, most_chars=80)
            raise ConfigError(f"score {name!r} gave {shown} as {key}, which is no finite number and no short text")
    return dict(values)


def _is_value(value: Any) -> bool:
    if isinstance(value, str):
        # PostgreSQL keeps no NUL, and half characters are no UTF-8.
        return len(value) <= MOST_TEXT_CHARACTERS and "\0" not in value and value.isprintable()
    # JSON has no numbers without end, and readers of columns none beyond 64 bits.
    return isfinite(value) if isinstance(value, float) else isinstance(value, int) and abs(value) <= MOST_INTEGER


def _build_skipped(row: RowMapping, reason: str) -> Skipped:
    return Skipped(row["job_id"], str(row["file_name"]), error_text(reason))
