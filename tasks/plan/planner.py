"""Step 2: prompts become jobs, and problems stay where they stand.

Takes prompts in manifest order, gives jobs in the same order, with everything settled that decides the
image. `tasks.plan.check` adds them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tasks.backends import build_backend
from tasks.backends.base import Backend, supported_inputs
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError, ManifestError
from tasks.core.identity import build_content, compute_job_id, hash_row
from tasks.core.records import Job, PlannedJob, Problem, Prompt, ReferenceImage
from tasks.manifest import Manifest, read_prompts
from tasks.manifest.source import get_base_folder
from tasks.plan.fallback import move_to_backend
from tasks.plan.jobs import build_job
from tasks.plan.row_registry import RowRegistry
from tasks.store.references import INPUTS, find_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """A run's options for its plan, beside the manifest and the configuration."""

    backends: tuple[str, ...] = ()
    """Instances for rows that name none, in the order in which they are tried; none: the configuration's default."""
    limit: int | None = None
    """Only the first so many jobs of the manifest."""
    salt: str = ""


class Planner:
    """Turns prompts into jobs; knows the configured backends, opens each at most once."""

    def __init__(
        self, settings: Settings, options: PlanOptions, manifest: Manifest, *, check: bool = False, ask: bool = False
    ) -> None:
        """Prepare for one manifest.

        Args:
            settings: The configuration.
            options: Those of the run.
            manifest: Its name stands in problems; paths in it are relative to its folder.
            check: Hold every job against what is known of its services.
            ask: Ask each service what it accepts, so that more of it is known.

        Raises:
            ConfigError: The backend named in `options` is not configured, or has bad settings.
        """
        self._settings = settings
        self.options = options
        self.file = manifest.display
        self._is_checking = check
        self._ask = ask
        self._backends: dict[str, Backend] = {}
        self.repeated = 0
        """Images that have everything in common with an earlier one, the seed too."""
        self.first_repeated: tuple[int, int, int] | None = None
        """Of the first of them: its line, the earlier line, the seed."""
        self._default = options.backends or settings.default_backends
        # Opened now: a bad default is one error of the configuration, not one problem for each row.
        for name in self._default:
            self.backend(name)

    def backend(self, name: str) -> Backend:
        """The instance called `name`.

        Raises:
            ConfigError: It is not configured, or has bad settings.
        """
        if name not in self._backends:
            backend = build_backend(name, self._settings)
            if self._ask:
                # Once: it asks the service over the network.
                backend.learn()
            self._backends[name] = backend
        return self._backends[name]

    def plan(self, prompts: Iterable[Prompt | Problem]) -> Iterator[PlannedJob | Problem]:
        """Jobs in manifest order, and every problem where it stands; `limit` is kept."""
        position = 0
        with RowRegistry() as rows:
            for prompt in prompts:
                if isinstance(prompt, Problem):
                    yield prompt
                elif problem := self._check(prompt, rows):
                    yield problem
                elif isinstance(routed := self._route_by_model(prompt), Problem):
                    yield routed
                elif isinstance(found := self._find_references(routed), Problem):
                    yield found
                else:
                    for planned in self._expand(routed, found, position, rows):
                        # Before the problems: the limit counts images, whatever is wrong with them.
                        position += 1
                        yield from self._find_refusals(planned.job, routed.file)
                        yield planned
                        # Stops reading: the rest of a large manifest is not even validated.
                        if position == self.options.limit:
                            return

    def _check(self, prompt: Prompt, rows: RowRegistry) -> Problem | None:
        for name in prompt.backends:
            try:
                self.backend(name)
            except ConfigError as exc:
                return Problem(prompt.file, prompt.line, "backend", str(exc))
        if prompt.id is not None and (first := rows.find_first_line(prompt.id, prompt.line)):
            return Problem(prompt.file, prompt.line, "id", f"Duplicate id {prompt.id!r} (first used on line {first})")
        return None

    def _route_by_model(self, prompt: Prompt) -> Prompt | Problem:
        """The row on the backend of the model that it names; a problem where none of its backends has it."""
        if prompt.model is None:
            return prompt
        # Manifests of other tools name models without owner or version.
        wanted = simplify_model(prompt.model)
        models = {name: self._settings.backends[name].model for name in prompt.backends or self._default}
        if any(simplify_model(model) == wanted for model in models.values()):
            return prompt
        others = [name for name, it in self._settings.backends.items() if simplify_model(it.model) == wanted]
        # Never a guess between two, whose prices may differ; nor against the row's own word.
        if len(others) == 1 and not prompt.backends:
            self.backend(others[0])
            return replace(prompt, backends=(others[0],))
        has = ", ".join(f"{name!r} makes images with {model or 'no model'}" for name, model in models.items())
        return Problem(
            prompt.file,
            prompt.line,
            "model",
            f"{prompt.model!r} is asked for, but backend {has}; name a backend of that model"
            + (f" ({', '.join(others)})" if others else "")
            + ", or leave the column out with --ignore-columns model",
        )

    def _find_references(self, prompt: Prompt) -> Mapping[str, ReferenceImage] | Problem:
        """The images that the row starts from, by column; or why they cannot be used."""
        found: dict[str, ReferenceImage] = {}
        for name in INPUTS:
            if (text := getattr(prompt, name)) is None:
                continue
            for backend in prompt.backends or self._default:
                if name not in supported_inputs(self.backend(backend)):
                    return Problem(prompt.file, prompt.line, name, f"backend {backend!r} takes no {name}")
            try:
                found[name] = find_reference(text, get_base_folder(prompt.file))
            except ValueError as exc:
                return Problem(prompt.file, prompt.line, name, str(exc))
        return found

    def _find_refusals(self, job: Job, file: str) -> Iterator[Problem]:
        """Find the inputs that the job's services would refuse; the samples of a row differ in their seed only."""
        # One row, one report.
        if not self._is_checking or job.sample:
            return
        for tried in (job, *(move_to_backend(job, name, self._settings) for name in job.fallbacks)):
            for problem in self.backend(tried.backend).problems(tried):
                name, _, reason = problem.partition(": ")
                yield Problem(file, job.line, name, f"{reason} (model {tried.model})" if tried.model else reason)

    def _expand(
        self, prompt: Prompt, references: Mapping[str, ReferenceImage], position: int, rows: RowRegistry
    ) -> Iterator[PlannedJob]:
        name, *fallbacks = prompt.backends or self._default
        instance = self._settings.backends[name]
        content = build_content(
            prompt,
            backend_type=instance.type,
            model=instance.model,
            seed=prompt.seed,
            backend_opts={**instance.backend_opts, **prompt.backend_opts},
            references=references,
        )
        row = hash_row(content)
        # Equal rows are jobs of their own: the user wants as many images.
        number = rows.count_before(row)
        # Derived seeds differ by construction; only given ones can meet.
        seedless = None if prompt.seed is None else hash_row({**content, "seed": None})
        for sample in range(prompt.samples):
            identity = compute_job_id(row, sample=sample, duplicate_number=number, salt=self.options.salt)
            job = build_job(
                prompt,
                self._settings,
                references,
                backends=(name, *fallbacks),
                identity=identity,
                sample=sample,
                position=position + sample,
            )
            if seedless is not None:
                self._note_repeated(seedless, job, rows)
            yield PlannedJob(job, number)

    def _note_repeated(self, content: str, job: Job, rows: RowRegistry) -> None:
        """Count an image that an earlier row makes with the very same seed: two rows of two samples may share one."""
        first = rows.find_first_image(content, job.seed, job.line)
        if first is not None:
            self.repeated += 1
            self.first_repeated = self.first_repeated or (job.line, first, job.seed)


def plan_manifest(manifest: Manifest, settings: Settings, options: PlanOptions) -> Iterator[PlannedJob]:
    """The jobs of a manifest that `check_manifest` has passed.

    Raises:
        ManifestError: The file has changed since, and is no longer valid.
    """
    for item in Planner(settings, options, manifest).plan(read_prompts(manifest)):
        if isinstance(item, Problem):
            raise ManifestError([item], 1)
        yield item


def simplify_model(model: str) -> str:
    """A model's name without its owner and version: `black-forest-labs/flux-schnell:abc` is `flux-schnell`."""
    return model.strip().casefold().rpartition("/")[2].partition(":")[0]
