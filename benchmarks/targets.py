"""The promised figures, held against the measured ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks import floor, planning, rate, scale, startup
from benchmarks.compare import PART as CONTENDERS
from benchmarks.floor_steps import STEPS
from benchmarks.results import Results, Row

_SAME = "a bare loop with the same promises"
_WORDS = {STEPS[-1]: _SAME}
"""Of subjects whose own name says less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One promise with its measurement."""

    promise: str
    case: str
    measured: str
    met: bool
    floor: str | None = None
    """The figure measured without imagen's own code, where there is one: a lower bound."""


def check_targets(results: Results) -> list[Held]:
    """Every promise that there are figures for."""
    parts = (_check_contenders, _check_engine, _check_scale, _check_planning, _check_startup, _check_rate)
    return [promise for part in parts for promise in part(results)]


def _at_most(promise: str, case: str, value: float, limit: float, unit: str = "") -> Held:
    return Held(promise=promise, case=case, measured=f"{value:,.2f}{unit}", met=value <= limit)


def _ratio_at_most(promise: str, row: Row, base: Row, figure: str, limit: float, *, least: Row | None = None) -> Held:
    """A figure held against the same one of `base`; `least` is what was measured without imagen's own code."""
    plain = _at_most(promise, row.case, _get_ratio(row, base, figure), limit)
    if least is None:
        return plain
    what = _WORDS.get(least.subject, least.subject)
    return replace(plain, floor=f"{_get_ratio(least, base, figure):,.2f} ({what})")


def _at_least(promise: str, case: str, value: float, limit: float, unit: str = "") -> Held:
    return Held(promise=promise, case=case, measured=f"{value:,.1f}{unit}", met=value >= limit)


def _check_contenders(results: Results) -> Iterator[Held]:
    for case in dict.fromkeys(row.case for row in results.of(CONTENDERS)):
        found = {row.subject: row for row in results.of(CONTENDERS) if row.case == case}
        ours, limit = found["imagen"], found["bare_aiohttp"]
        same = results.find(floor.PART, case, STEPS[-1])
        seconds, cpu = "generation_s", "cpu_ms_per_image"
        yield _ratio_at_most("generation ≤ 1.03 of bare aiohttp", ours, limit, seconds, 1.03, least=same)
        others = ("bare_httpx", "official_client", "prefect_map")
        best = min(others, key=lambda name: found[name].median("generation_s"))
        promise = f"ahead of the others (best of them: {best})"
        yield _ratio_at_most(promise, ours, found[best], seconds, 1.0, least=same)
        yield _ratio_at_most("CPU per image after start-up ≤ 1.5 of bare aiohttp", ours, limit, cpu, 1.5, least=same)
        if same:
            yield _ratio_at_most(f"generation ≤ 1.03 of {_SAME}", ours, same, seconds, 1.03)
            yield _ratio_at_most(f"CPU per image after start-up ≤ 1.5 of {_SAME}", ours, same, cpu, 1.5)


def _check_engine(results: Results) -> Iterator[Held]:
    for row in results.of(scale.ENGINE):
        yield _at_least("zero-latency engine ≥ 250 images/s", row.case, row.median("images_per_s"), 250, " images/s")


def _check_scale(results: Results) -> Iterator[Held]:
    made = sorted((row for row in results.of(scale.SCALE) if row.subject == scale.GENERATED), key=_count_images)
    if len(made) > 1:
        few, many = made[-2:]
        yield _ratio_at_most("memory ≤ 1.25 of a tenth of the jobs", many, few, "peak_mb", 1.25)
        per_job = _get_ratio(few, many, "images_per_s")
        yield _at_most("time per job ≤ 1.15 of a tenth of the jobs", many.case, per_job, 1.15)
    for row in results.of(scale.SCALE):
        generated = results.find(scale.SCALE, row.case, scale.GENERATED)
        if row.subject != scale.GENERATED and generated:
            promise = f"{row.subject} of the finished batch ≤ 10 % of generating it"
            yield _at_most(promise, row.case, 100 * _get_ratio(row, generated, "total_s"), 10, " %")


def _check_planning(results: Results) -> Iterator[Held]:
    for row in results.of(planning.PART):
        if row.subject in {planning.PLAN, planning.LEDGER}:
            yield _at_most(f"{row.subject} ≤ 300 MB", row.case, row.median("peak_mb"), 300, " MB")


def _check_startup(results: Results) -> Iterator[Held]:
    for row in results.of(startup.PART):
        by_import = results.find(startup.PART, row.case, startup.IMPORT)
        minimal = results.find(startup.PART, row.case, startup.MINIMAL)
        floor_ = results.find(startup.PART, row.case, startup.LIBRARIES)
        libraries = results.find(startup.PART, row.case, startup.READING_LIBRARIES)
        if by_import and row.subject not in {startup.IMPORT, startup.READING_LIBRARIES}:
            promise = f"{row.subject} ≤ 0.5 of `import prefect`"
            yield _ratio_at_most(promise, row, by_import, "total_s", 0.5, least=libraries)
        if minimal and row.subject == startup.RUN:
            promise = "first submit ≤ 1.15 of a minimal flow's first task"
            yield _ratio_at_most(promise, row, minimal, "first_s", 1.15, least=floor_)
        if floor_ and row.subject == startup.RUN:
            promise = "first submit ≤ 1.15 of the same with imagen's libraries"
            yield _ratio_at_most(promise, row, floor_, "first_s", 1.15)


def _check_rate(results: Results) -> Iterator[Held]:
    for row in results.of(rate.PART):
        yield _at_least("≥ 98 % of the allowed creates", row.case, row.median("used_percent"), 98, " %")
        yield _at_most("≤ 0.5 % refused", row.case, row.median("refused_percent"), 0.5, " %")


def _get_ratio(row: Row, base: Row, figure: str) -> float:
    return row.median(figure) / base.median(figure)


def _count_images(row: Row) -> float:
    """Count the images that the run made."""
    return row.median("images_per_s") * row.median("generation_s")
