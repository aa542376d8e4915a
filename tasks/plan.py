"""Step 2: prompts become jobs, and the whole manifest is checked before anything is written or spent.

Takes prompts in manifest order, gives jobs in the same order, with everything settled that decides the
picture. Memory does not grow with the manifest: what must be remembered of every row (its id, how often
its content came before) lies in a temporary database on disk.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tasks.backends import build_backend, require_ready
from tasks.backends.base import Backend
from tasks.errors import ConfigError, ManifestError
from tasks.identity import derived_seed, job_id, row_digest, sent_text
from tasks.manifest import Manifest, read_prompts
from tasks.records import Job, PlannedJob, Problem, Prompt
from tasks.settings import Settings

PROBLEMS_SHOWN = 50
SEEDS = 2**63
"""Seeds lie below; the samples of the last one begin at 0 again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What a run says about its plan, beside the manifest and the configuration."""

    backend: str | None = None
    """Instance for rows that name none; None is the configuration's default."""
    limit: int | None = None
    """Only the first so many jobs of the manifest."""
    salt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """What a manifest comes to."""

    rows: int = 0
    jobs: int = 0
    duplicates: int = 0
    """Jobs whose row's content stands earlier in the manifest too; they get pictures of their own."""
    estimate_micros: int = 0
    """Sum of the known prices, in millionths of a dollar."""
    unpriced: int = 0
    """Jobs without a known price."""
    duration_s: float = 0.0
    """At the allowed rates, nothing failing."""
    by_backend: Mapping[str, int] = field(default_factory=dict)


class Planner:
    """Turns prompts into jobs; knows the configured backends, opens each at most once."""

    def __init__(self, settings: Settings, options: PlanOptions, file: str, *, ask: bool = False) -> None:
        """Prepare for one manifest, called `file` in problems.

        Args:
            settings: The configuration.
            options: What the run says.
            file: The manifest's name, for problems.
            ask: Ask each service what it accepts, and hold every job against it.

        Raises:
            ConfigError: The backend named in `options` is not configured, or has bad settings.
        """
        self._settings = settings
        self._options = options
        self.file = file
        self._ask = ask
        self._backends: dict[str, Backend] = {}
        self.backend(options.backend or settings.default_backend)

    def backend(self, name: str) -> Backend:
        """The instance called `name`.

        Raises:
            ConfigError: It is not configured, or has bad settings.
        """
        if name not in self._backends:
            backend = build_backend(name, self._settings)
            if self._ask:
                backend.learn()
            self._backends[name] = backend
        return self._backends[name]

    def plan(self, prompts: Iterable[Prompt | Problem]) -> Iterator[PlannedJob | Problem]:
        """Jobs in manifest order, and every problem where it stands; `limit` is kept."""
        return self._jobs(prompts)

    def _jobs(self, prompts: Iterable[Prompt | Problem]) -> Iterator[PlannedJob | Problem]:
        position = 0
        with _Seen() as seen:
            for prompt in prompts:
                if isinstance(prompt, Problem):
                    yield prompt
                elif problem := self._check(prompt, seen):
                    yield problem
                else:
                    for planned in self._expand(prompt, position, seen):
                        position += 1
                        yield from self._refusals(planned.job)
                        yield planned
                        if position == self._options.limit:
                            return

    def _check(self, prompt: Prompt, seen: _Seen) -> Problem | None:
        if prompt.backend is not None:
            try:
                self.backend(prompt.backend)
            except ConfigError as exc:
                return Problem(self.file, prompt.line, "backend", str(exc))
        if prompt.id is not None and (first := seen.first_line(prompt.id, prompt.line)):
            return Problem(self.file, prompt.line, "id", f"{prompt.id!r} stands on line {first} too; ids are unique")
        return None

    def _refusals(self, job: Job) -> Iterator[Problem]:
        """What the job's service would refuse; the samples of a row differ in their seed only."""
        if self._ask and not job.sample:
            for problem in self.backend(job.backend).problems(job):
                name, _, reason = problem.partition(": ")
                yield Problem(self.file, job.line, name, f"{reason} (model {job.model})")

    def _expand(self, prompt: Prompt, position: int, seen: _Seen) -> Iterator[PlannedJob]:
        name = prompt.backend or self._options.backend or self._settings.default_backend
        content = self._content(prompt, name)
        row = row_digest(content)
        earlier = seen.times_before(row)
        for sample in range(prompt.samples):
            identity = job_id(row, sample=sample, earlier=earlier, salt=self._options.salt)
            job = self._job(
                prompt,
                name,
                backend_opts=content["backend_opts"],
                identity=identity,
                sample=sample,
                position=position + sample,
            )
            yield PlannedJob(job, earlier)

    def _content(self, prompt: Prompt, name: str) -> dict[str, Any]:
        """What decides the picture, sample, repetition and salt aside."""
        instance = self._settings.backends[name]
        return {
            "backend_type": instance.type,
            "model": instance.model,
            "prompt": sent_text(prompt.prompt),
            "negative_prompt": prompt.negative_prompt,
            "width": prompt.width,
            "height": prompt.height,
            "aspect_ratio": prompt.aspect_ratio,
            "steps": prompt.steps,
            "seed": prompt.seed,
            "backend_opts": {**instance.backend_opts, **prompt.backend_opts},
        }

    def _job(
        self, prompt: Prompt, name: str, *, backend_opts: Mapping[str, Any], identity: str, sample: int, position: int
    ) -> Job:
        instance = self._settings.backends[name]
        return Job(
            job_id=identity,
            position=position,
            id=prompt.id,
            line=prompt.line,
            sample=sample,
            prompt=prompt.prompt,
            negative_prompt=prompt.negative_prompt,
            backend=name,
            backend_type=instance.type,
            model=instance.model,
            width=prompt.width,
            height=prompt.height,
            aspect_ratio=prompt.aspect_ratio,
            steps=prompt.steps,
            # Samples of one row must differ; the first keeps the very seed that the row gives.
            seed=derived_seed(identity) if prompt.seed is None else (prompt.seed + sample) % SEEDS,
            format=prompt.format or self._settings.output.format,
            backend_opts=backend_opts,
            extra=prompt.extra,
        )


def plan_manifest(manifest: Manifest, settings: Settings, options: PlanOptions) -> Iterator[PlannedJob]:
    """The jobs of a manifest that `check_manifest` has passed.

    Raises:
        ManifestError: The file has changed since, and is no longer valid.
    """
    planner = Planner(settings, options, manifest.display)
    for item in planner.plan(read_prompts(manifest)):
        if isinstance(item, Problem):
            raise ManifestError([item], 1)
        yield item


def check_manifest(manifest: Manifest, settings: Settings, options: PlanOptions, *, ask: bool = False) -> PlanReport:
    """Read the whole manifest and say what it comes to. Writes nothing, spends nothing.

    Only with `ask` is anybody asked anything: each service what it accepts, so that every job is held against it.

    Raises:
        ManifestError: It has problems; they are all in it (the first 50 by text).
        ConfigError: The default backend cannot be used; with `ask`, a backend that a job needs is not set up.
    """
    planner = Planner(settings, options, manifest.display, ask=ask)
    tally = _Tally(planner)
    for item in planner.plan(read_prompts(manifest)):
        tally.add(item)
    report = tally.report(settings)
    if ask:
        for name in report.by_backend:
            require_ready(name, planner.backend(name))
    return report


class _Tally:
    """Adds up jobs and problems."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._problems: list[Problem] = []
        self._problem_count = 0
        self._rows = 0
        self._jobs = 0
        self._duplicates = 0
        self._estimate_micros = 0
        self._unpriced = 0
        self._by_backend: Counter[str] = Counter()
        self._work_s: Counter[str] = Counter()

    def add(self, item: PlannedJob | Problem) -> None:
        if isinstance(item, Problem):
            if item in self._problems:
                return  # a bad default meets every row; it is one problem
            self._problem_count += 1
            if len(self._problems) < PROBLEMS_SHOWN:
                self._problems.append(item)
            return
        job = item.job
        estimate = self._planner.backend(job.backend).estimate(job)
        self._rows += job.sample == 0
        self._jobs += 1
        self._duplicates += item.earlier > 0
        self._estimate_micros += estimate.cost_micros or 0
        self._unpriced += estimate.cost_micros is None
        self._by_backend[job.backend] += 1
        self._work_s[job.backend] += estimate.latency_s  # type: ignore[assignment]  # a Counter of floats

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
            unpriced=self._unpriced,
            # Backends work side by side, so the slowest one decides.
            duration_s=max((self._duration_s(name, settings) for name in self._by_backend), default=0.0),
            by_backend=dict(self._by_backend),
        )

    def _duration_s(self, name: str, settings: Settings) -> float:
        allowance = self._planner.backend(name).allowance()
        sharing = (other for other in self._by_backend if self._planner.backend(other).allowance() == allowance)
        creates = sum(self._by_backend[other] for other in sharing)
        by_rate = creates * 60 / allowance.creates_per_min if allowance.creates_per_min else 0.0
        return max(by_rate, self._work_s[name] / settings.backends[name].concurrency)


class _Seen:
    """What came before in this manifest, in a private database that SQLite keeps on disk and then drops."""

    _CACHE_KIB = 32 * 1024

    def __enter__(self) -> Self:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            f"""
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{self._CACHE_KIB};
            CREATE TABLE contents (digest BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE ids (id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID;
            BEGIN;
            """
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def times_before(self, row: str) -> int:
        """How often this content came before; counts it."""
        counted = self._db.execute(
            "INSERT INTO contents VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times - 1",
            (bytes.fromhex(row),),
        )
        return int(counted.fetchone()[0])

    def first_line(self, row_id: str, line: int) -> int | None:
        """The line that this id stands on already; None when it is new, and then it is remembered."""
        if self._db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (row_id, line)).rowcount:
            return None
        return int(self._db.execute("SELECT line FROM ids WHERE id = ?", (row_id,)).fetchone()[0])
