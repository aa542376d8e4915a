"""Step 2, before anything is written or spent: the whole manifest is read, and what it comes to is added up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from types import MappingProxyType
from typing import Any

from tasks.backends import require_ready
from tasks.backends.ended_models import describe_model_end
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ManifestError
from tasks.core.gates import Gates, dump_layer, list_judge_prices, merge_gates
from tasks.core.judge import JudgeSettings
from tasks.core.records import PlannedJob, Problem
from tasks.core.text import format_count
from tasks.manifest import Findings, Manifest, read_prompts
from tasks.plan.cap_room import Share, Shares
from tasks.plan.digest import PlanDigest
from tasks.plan.planner import Planner, PlanOptions
from tasks.plan.row_rules import RowRules

PROBLEMS_SHOWN = 50
NO_GATES: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """The totals of a manifest."""

    rows: int = 0
    jobs: int = 0
    duplicates: int = 0
    """Jobs whose row's content stands earlier in the manifest too; they get images of their own."""
    estimate_micros: int = 0
    """Sum of the known prices, in millionths of a dollar."""
    unpriced: int = 0
    """Jobs without a known price."""
    duration_s: float = 0.0
    """At the allowed rates, nothing failing."""
    by_backend: Mapping[str, int] = field(default_factory=dict)
    priced_on: Mapping[str, date] = field(default_factory=dict)
    """When the price of each backend instance was read, where it is of the price table."""
    unpriced_models: Mapping[str, str] = field(default_factory=dict)
    """By backend instance: the model of jobs without a known price."""
    shares: Shares = field(default_factory=dict)
    """The jobs by backend and model."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """`used` (by name in the file: the column), `carried` (names), `ignored` (by name: why)."""
    rerolls: int = 0
    """Images that gates may make beside those, at most."""
    rerolls_micros: int = 0
    """Their known prices."""
    judging: Shares = field(default_factory=dict)
    """The calls of judges about all these images, which the rules ask, by judge and model; each at the most that it costs."""
    gates: Mapping[str, Any] = field(default_factory=dict)
    """`keep`, `reject` and `reroll` of the manifest alone."""
    row_gates: Mapping[Gates, str] = field(default_factory=dict)
    """The different rules of single rows, with those of the run in them, by the place where each stands first."""
    notes: tuple[str, ...] = ()
    """Notes for the user about the manifest, before anything is paid."""
    digest: str | None = None
    """Of the whole plan: another plan has another one. None for a part of a manifest."""

    @property
    def judges_micros(self) -> int:
        """The most that the judges cost, in millionths of a dollar."""
        return sum(share.micros for share in self.judging.values())

    def share_judging(self, jobs: int) -> Shares:
        """The part of the judges' calls that so many of the jobs take."""

        def take(amount: int) -> int:
            # Rounded up: rows with rules of their own may differ in what their judges cost.
            return -(-amount * jobs // max(1, self.jobs))

        return {key: Share(jobs=take(share.jobs), micros=take(share.micros)) for key, share in self.judging.items()}


def check_manifest(
    manifest: Manifest,
    settings: Settings,
    options: PlanOptions,
    *,
    ask: bool = False,
    gate_layer: Mapping[str, Any] = NO_GATES,
) -> PlanReport:
    """Read the whole manifest and say what it comes to. Writes nothing, spends nothing.

    Every job is held against what is known of its services. Only with `ask` is anybody asked anything: each service
    what it accepts. `gate_layer` holds the rules of the command, over those of the manifest and the configuration.

    Raises:
        ManifestError: It has problems; they are all in it (the first 50 by text).
        ConfigError: The default backend cannot be used; with `ask`, a backend that a job needs is not set up.
    """
    planner = Planner(settings, options, manifest, check=True, ask=ask)
    findings = Findings()
    rules = RowRules(partial(_find_gates, settings, findings, gate_layer))
    tally = _Tally(planner, settings.scores, rules)
    # Row by row: the manifest of a million prompts never lies in memory.
    for item in planner.plan(rules.check_each(read_prompts(manifest, findings))):
        tally.add(item)
    # Here and not at the end of the rows: a limit stops their reading.
    for problem in findings.close(manifest.display):
        tally.add(problem)
    try:
        report = tally.report(settings)
    except ManifestError as exc:
        # How the file was read often explains why its rows cannot be used.
        raise ManifestError(exc.problems, exc.total, tuple(findings.notes)) from None
    columns, gates = findings.to_record(), dict(findings.gates)
    notes = (*findings.notes, *_note_repeated(planner), *_note_ended(report, settings))
    report = replace(report, columns=columns, gates=gates, row_gates=rules.places, notes=notes)
    if ask:
        # After the problems: a missing token is no reason to keep quiet about the rows.
        for name in tally.may_be_asked:
            require_ready(name, planner.backend(name))
    return report


def _find_gates(settings: Settings, findings: Findings, options: Mapping[str, Any]) -> Gates:
    # Asked at the first row, when the file's own rules are known.
    return merge_gates(dump_layer(settings.gates), findings.gates, options)


def _note_ended(report: PlanReport, settings: Settings) -> Iterator[str]:
    # A warning and no error: the day is what a page said, and the service may have put it off.
    for backend, model in report.shares:
        if (end := describe_model_end(settings.backends[backend], model)) is not None:
            yield f"backend {backend!r}: {end}"


def _note_repeated(planner: Planner) -> Iterator[str]:
    if planner.first_repeated is not None:
        line, first, seed = planner.first_repeated
        images = format_count(planner.repeated, "image")
        yield (
            f"{planner.file}: {images} repeat the prompt, settings and seed of an earlier one (line {line}: seed {seed}, "
            f"as line {first}); each is paid for and looks like the other"
        )


class _Tally:
    """Adds up jobs and problems."""

    def __init__(self, planner: Planner, judges: Mapping[str, JudgeSettings], rules: RowRules) -> None:
        self._planner = planner
        self._judges = judges
        self._judging: defaultdict[tuple[str, str], Share] = defaultdict(Share)
        self._rules = rules
        self._rerolls = 0
        self._rerolls_micros = 0
        self._problems: list[Problem] = []
        self._problem_count = 0
        self._digest = PlanDigest(planner.options)
        self._rows = 0
        self._jobs = 0
        self._duplicates = 0
        self._estimate_micros = 0
        self._unpriced = 0
        self._unpriced_models: dict[str, str] = {}
        self._by_backend: Counter[str] = Counter()
        self._shares: defaultdict[tuple[str, str], Share] = defaultdict(Share)
        self.may_be_asked: dict[str, None] = {}
        """Instances that a job needs, or falls back to; in the order in which they first came."""
        self._work_s: Counter[str] = Counter()
        self._priced_on: dict[str, date] = {}

    def add(self, item: PlannedJob | Problem) -> None:
        if isinstance(item, Problem):
            # Bounded by `PROBLEMS_SHOWN`, so the search stays short.
            if item in self._problems:
                return  # a bad default meets every row; it is one problem
            self._problem_count += 1
            if len(self._problems) < PROBLEMS_SHOWN:
                self._problems.append(item)
            return
        self._digest.add(item)
        job = item.job
        estimate = self._planner.backend(job.backend).estimate(job)
        # The first image of each row stands for the row.
        self._rows += job.sample == 0
        self._jobs += 1
        self._duplicates += item.duplicate_number > 0
        if estimate.cost_micros is None:
            self._unpriced_models[job.backend] = job.model
        self._estimate_micros += estimate.cost_micros or 0
        gates = self._rules.gates.find(job.extra)
        judges_micros = self._add_judges(gates)
        # Of a row, the first so many samples stand for the images that are asked for.
        if gates.keep is None or job.sample < gates.keep.best:
            self._rerolls += gates.reroll
            self._rerolls_micros += gates.reroll * ((estimate.most_micros or 0) + judges_micros)
        self._unpriced += estimate.cost_micros is None
        self._by_backend[job.backend] += 1
        self._shares[job.backend, job.model].add(estimate.cost_micros)
        self.may_be_asked |= dict.fromkeys((job.backend, *job.fallbacks))
        if estimate.priced_on is not None:
            self._priced_on[job.backend] = estimate.priced_on
        self._work_s[job.backend] += estimate.latency_s  # type: ignore[assignment]  # a Counter of floats

    def _add_judges(self, gates: Gates) -> int:
        """Count the calls about one image; gives the most that they cost."""
        prices = list_judge_prices(gates, self._judges)
        for name, most_micros in prices.items():
            self._judging[name, self._judges[name].model].add(most_micros)
        return sum(prices.values())

    def report(self, settings: Settings) -> PlanReport:
        if not self._problem_count and not self._jobs:
            self.add(Problem(self._planner.file, None, None, "holds no rows"))
        if self._problem_count:
            raise ManifestError(self._problems, self._problem_count)
        return PlanReport(
            rows=self._rows,
            jobs=self._jobs,
            duplicates=self._duplicates,
            estimate_micros=self._estimate_micros,
            rerolls=self._rerolls,
            rerolls_micros=self._rerolls_micros,
            judging=self._judging,
            unpriced=self._unpriced,
            # Backends work side by side, so the slowest one decides.
            duration_s=max((self._duration_s(name, settings) for name in self._by_backend), default=0.0),
            by_backend=dict(self._by_backend),
            shares=self._shares,
            priced_on=self._priced_on,
            unpriced_models=self._unpriced_models,
            digest=self._digest.compute(),
        )

    def _duration_s(self, name: str, settings: Settings) -> float:
        allowance = self._planner.backend(name).allowance()
        # Instances of one account share its rate.
        sharing = (other for other in self._by_backend if self._planner.backend(other).allowance() == allowance)
        creates = sum(self._by_backend[other] for other in sharing)
        by_rate = creates * 60 / allowance.creates_per_min if allowance.creates_per_min else 0.0
        # The rate and the slots work at the same time, so the slower of the two decides.
        return max(by_rate, self._work_s[name] / settings.backends[name].concurrency)
