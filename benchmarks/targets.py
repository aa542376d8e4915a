"""The promised figures, held against the measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from benchmarks import faults, floor, planning, rate, scale, startup
from benchmarks.compare import PART as CONTENDERS
from benchmarks.floor_steps import STEPS
from benchmarks.results import Results, Row
from benchmarks.sizes import SIZES

LONG_S = 1.0
"""Latency from which on generation is held against the ideal."""
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
    parts = (
        _check_contenders,
        _check_pixels,
        _check_engine,
        _check_scale,
        _check_faults,
        _check_planning,
        _check_startup,
        _check_rate,
    )
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
    return Held(promise=promise, case=case, measured=f"{value:,.2f}{unit}", met=value >= limit)


def _check_contenders(results: Results) -> Iterator[Held]:
    cases = {case.title: case for size in SIZES.values() for case in size.contenders}
    for title in dict.fromkeys(row.case for row in results.of(CONTENDERS)):
        found = {row.subject: row for row in results.of(CONTENDERS) if row.case == title}
        same, case = results.find(floor.PART, title, STEPS[-1]), cases.get(title)
        if case is None or not {"imagen", "httpx_aiohttp", "official_client"} <= found.keys():
            continue  # it was stopped in the middle
        if case.latency_s >= LONG_S:
            yield from _check_long(found, same)
        else:
            yield from _check_short(found, same)
        if (case.kind, case.in_flight) == ("png", 128):
            yield _at_most("peak memory ≤ 250 MB", title, found["imagen"].median("peak_mb"), 250, " MB")


def _check_long(found: Mapping[str, Row], same: Row | None) -> Iterator[Held]:
    """The images take so long that a client of any cost can keep pace: generation is held against the ideal."""
    ours, limit = found["imagen"], same or found["bare_aiohttp"]
    held = _at_most("generation ≤ 1.05 of images x latency / in flight", ours.case, ours.median("of_ideal"), 1.05)
    yield replace(held, floor=f"{limit.median('of_ideal'):,.2f} ({_WORDS.get(limit.subject, limit.subject)})")
    for name in ("official_client", "httpx_aiohttp"):
        yield _ratio_at_most(f"ahead of {name}", ours, found[name], "generation_s", 1.0, least=same)


def _check_short(found: Mapping[str, Row], same: Row | None) -> Iterator[Held]:
    """The client's own cost shows: rates are held against each other."""
    ours = found["imagen"]
    for name, least in (("httpx_aiohttp", 0.9), ("official_client", 1.4)):
        plain = _at_least(
            f"images/s ≥ {least} of {name}", ours.case, _get_ratio(ours, found[name], "images_per_s"), least
        )
        reached = None if same is None else f"{_get_ratio(same, found[name], 'images_per_s'):,.2f} ({_SAME})"
        yield replace(plain, floor=reached)


def _check_pixels(results: Results) -> Iterator[Held]:
    for row in results.of(scale.PIXELS):
        if row.subject == scale.GENERATED:
            same = results.find(scale.PIXELS, row.case, STEPS[-1])
            held = _at_most("CPU per image after start-up ≤ 5 ms", row.case, row.median("cpu_ms_per_image"), 5, " ms")
            yield held if same is None else replace(held, floor=f"{same.median('cpu_ms_per_image'):,.2f} ms ({_SAME})")


def _check_engine(results: Results) -> Iterator[Held]:
    for row in results.of(scale.ENGINE):
        yield _at_least("zero-latency engine ≥ 250 images/s", row.case, row.median("images_per_s"), 250, " images/s")


def _check_faults(results: Results) -> Iterator[Held]:
    for row in (*results.of(faults.PART), *results.of(faults.DASK)):
        base = results.find(row.part, row.case, faults.NO_FAULT)
        if row.subject == faults.NO_FAULT or base is None:
            continue
        name = f"{row.subject}, Dask" if row.part == faults.DASK else row.subject
        least = "≥ 0.8 of the rate without faults"
        rate_ = _at_least(f"{name}: {least}", row.case, _get_ratio(row, base, "images_per_s"), 0.8)
        # The last creates that are lost are looked for when all other jobs have ended, whatever the rest took.
        least_s = base.median("jobs") / base.median("images_per_s")
        looking_s = faults.count_looking_s(base.median("images_per_s"))
        words = f"{looking_s:g} s of looking for the last lost creates"
        yield replace(rate_, floor=f"{least_s / (least_s + looking_s):,.2f} ({words})")
        yield _at_least(f"{name}, steady: {least}", row.case, _get_ratio(row, base, "steady_per_s"), 0.8)
        # Figures of an earlier form of this measurement have none.
        if "look_ups_percent" in row.figures:
            look_ups = row.median("look_ups_percent")
            yield _at_most(f"{name}: look-ups ≤ 10 % of the account's allowance", row.case, look_ups, 10, " %")
    for row in results.of(faults.BACKENDS):
        first_s = row.median("first_create_s")
        yield _at_most(f"{row.subject}: first create ≤ 1 s after the batch's first", row.case, first_s, 1, " s")


def _check_scale(results: Results) -> Iterator[Held]:
    made = sorted((row for row in results.of(scale.SCALE) if row.subject == scale.GENERATED), key=_count_images)
    if len(made) > 1:
        few, many = made[-2:]
        yield _ratio_at_most("memory ≤ 1.25 of a tenth of the jobs", many, few, "peak_mb", 1.25)
        per_job = _get_ratio(few, many, "images_per_s")
        yield _at_most("time per job ≤ 1.15 of a tenth of the jobs", many.case, per_job, 1.15)
    for row in results.of(scale.SCALE):
        if row.subject != scale.GENERATED and row.case.startswith("10,000 "):
            yield _at_most(f"{row.subject} of the finished batch ≤ 2 s", row.case, row.median("total_s"), 2, " s")
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
            promise = "first submit ≤ 1.3 of a minimal flow's first task"
            yield _ratio_at_most(promise, row, minimal, "first_s", 1.3, least=floor_)


def _check_rate(results: Results) -> Iterator[Held]:
    for row in results.of(rate.PART):
        yield _at_least("≥ 98 % of the allowed creates", row.case, row.median("used_percent"), 98, " %")
        yield _at_most("≤ 0.5 % refused", row.case, row.median("refused_percent"), 0.5, " %")


def _get_ratio(row: Row, base: Row, figure: str) -> float:
    return row.median(figure) / base.median(figure)


def _count_images(row: Row) -> float:
    """Count the images that the run made."""
    return row.median("images_per_s") * row.median("generation_s")
