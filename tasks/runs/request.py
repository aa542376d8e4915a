"""The parameters of a run: one list for the command line, the flow, its deployments and its form.

They are plain values, because they travel through Prefect. `{date}` in the output folder and in the salt is the day on
which the run was to start, so a night that starts late or is retried keeps its folder.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.core.caps.periods import TimeZone
from tasks.core.configuration.settings import Settings
from tasks.core.errors import InputError
from tasks.core.gates import MOST_EXPRESSION_CHARS, build_option_layer
from tasks.core.money import MOST_USD
from tasks.core.paths import expand_home
from tasks.core.records import NO_IMAGE_STATES, EndedFilter, JobState, RunnerKind
from tasks.core.values import MOST_BEST, MOST_JOBS, MOST_REROLLS, parse_backend_option
from tasks.manifest.reading import ReadOptions, build_read_options
from tasks.plan.planner import PlanOptions
from tasks.plan.reroll import Reroll

DATE = "{date}"

MOST_REROLL_IDS = 5_000
"""Prefect takes 512 KB of parameters, and a job id has 67 bytes there."""


class RunRequest(BaseModel):
    """The parameters of one run. Prefect's form shows the descriptions and holds inputs to the bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("config", mode="before")
    @classmethod
    def _spell_path(cls, value: Any) -> Any:
        """Take a path too; it is kept as text, because a path would lose the second slash of an address."""
        return str(value) if isinstance(value, Path) else value

    @field_validator("out", "manifest", "config", mode="after")
    @classmethod
    def _expand_home(cls, value: str | None) -> str | None:
        """`~` means the home folder here too: neither cron, systemd nor YAML puts it in."""
        return None if value is None else expand_home(value)

    out: str = Field(
        pattern=r"\S",  # an emptied field of a form would be the folder where the run was started
        description="Output folder or bucket URL; a batch that exists there goes on. "
        "{date} in it is the day the run was to start.",
    )
    manifest: str | None = Field(
        None, description="Path or address of the manifest; without one the run resumes from the ledger alone."
    )
    config: str | None = Field(
        None,
        description="Path or address (https, s3, gs, az) of the configuration. "
        "Default: the built-in settings; on a resume those of the last run.",
    )
    backend: str | None = Field(
        None,
        description="Backend for rows that name none; a,b tries b where a cannot serve a row. "
        "On a resume: the backend that makes the failed jobs.",
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=MOST_JOBS,
        description="Generate only the first N jobs of the manifest; on a resume the first N open jobs.",
    )
    budget_usd: float | None = Field(
        None,
        ge=0,
        le=MOST_USD,
        description="Hard cap in US dollars over the batch's whole life. Default: the cap of the batch's last run.",
    )
    concurrency: int | None = Field(
        None, ge=1, le=10_000, description="Most jobs in flight for each backend; overrides the configuration."
    )
    priority: float | None = Field(
        None,
        ge=0.01,
        le=100,
        description="Share of the account's pace beside other batches: 2 gets twice as much as 1. "
        "Default: the configuration's.",
    )
    salt: str = Field("", description="Another salt makes new images from the same manifest. Takes {date}, like out.")
    timezone: TimeZone | None = Field(
        None, description="Time zone of {date}, such as Europe/Berlin. Default: that of the machine that runs it."
    )
    retry_failed: bool = Field(default=False, description="Try failed jobs again.")
    retry_held: bool = Field(
        default=False,
        description="Look once more for jobs that may have been paid for; pay again for those without an image.",
    )
    ignore_columns: str | None = Field(
        None, description="Columns of the manifest to leave out, with commas between them."
    )
    prompt_column: str | None = Field(None, description="Column of the manifest that holds the prompts.")
    literal: bool = Field(default=False, description="Every line of a text manifest is a prompt as it stands.")
    encoding: str | None = Field(None, description="Encoding of a text manifest; none: found out.")
    only: str | None = Field(
        None,
        description="On a resume: try only the jobs that ended as failed, held or an error kind (several with commas).",
    )

    replace: bool = Field(
        default=False,
        description="Use a manifest without any row of the batch: the batch's rows leave the table, their files stay.",
    )
    reuse: list[str] | None = Field(
        None,
        description="Folders, globs and buckets of other batches: what they made is taken over for nothing. "
        "Default: the configuration's; on a resume those of the last run.",
    )
    reuse_any_salt: bool = Field(default=False, description="Take over images of another salt too.")
    runner: RunnerKind | None = Field(
        None, description="local (this process), dask or ray (worker processes). Default: the configuration's."
    )
    workers: int | None = Field(
        None, ge=1, le=10_000, description="Shards at once on a cluster. Default: as many as it has slots."
    )
    cluster: str | None = Field(
        None, description="Address of a running cluster. Default: worker processes of this machine, for this run."
    )
    missing: bool = Field(
        default=False,
        description="On a resume: only the images whose files are gone; they are made and paid for again.",
    )
    reread: bool = Field(
        default=False, description="On a resume: only read kept answers again that could not be read; pays for nothing."
    )
    keep_best: int | None = Field(None, ge=1, le=MOST_BEST, description="Images of each row that are kept, by keep_by.")
    keep_by: str | None = Field(
        None, description="Result of a score by which images are compared; the highest is kept."
    )
    reject: str | None = Field(
        None, max_length=MOST_EXPRESSION_CHARS, description="Condition for images that do not count, such as: blank"
    )
    rerolls: int | None = Field(
        None, ge=0, le=MOST_REROLLS, description="Further tries for each rejected image, within the budget."
    )
    reroll: Reroll | None = Field(None, description="Make one image once more, and nothing else.")
    rejected: bool = Field(
        default=False, description="Make every image once more that a review rejects and that has no reroll yet."
    )
    reroll_where: str | None = Field(
        None, description="Make every image once more for which this is true and that has no reroll yet."
    )
    reroll_ids: list[str] | None = Field(
        None,
        max_length=MOST_REROLL_IDS,
        description="Make the images of these row ids, job_ids or files once more that have no reroll yet.",
    )

    @property
    def rerolls_many(self) -> bool:
        """True for rerolls of all images that are chosen by verdict, condition or a list."""
        return self.rejected or self.reroll_where is not None or self.reroll_ids is not None

    @field_validator("reuse", mode="after")
    @classmethod
    def _name_places(cls, value: list[str] | None) -> list[str] | None:
        """An option that was not given is none; an empty name would be this folder."""
        if value and not all(place.strip() for place in value):
            raise ValueError("a place is empty; is a variable in it not set?")
        return value or None

    def get_day(self, start: datetime) -> str:
        """The day of an aware instant in the request's time zone, as `2026-11-26`."""
        # Without a zone the machine's own day is meant, which is the day that its user sees.
        return start.astimezone(ZoneInfo(self.timezone) if self.timezone else None).date().isoformat()

    def on(self, start: datetime) -> RunRequest:
        """Fill in `{date}`.

        Args:
            start: When the run was to start; aware.
        """
        date = self.get_day(start)
        # Filled in once, by the day on which the run was to start: a late night keeps its folder.
        filled = {"out": self.out.replace(DATE, date), "salt": self.salt.replace(DATE, date)}
        return self.model_copy(update=filled)

    def parameters(self) -> dict[str, Any]:
        """The values that differ from the defaults, as JSON: the flow's parameters."""
        # Only what was chosen: a form that is filled with every default would pin all of them.
        return self.model_dump(mode="json", exclude_defaults=True)

    def plan_options(self) -> PlanOptions:
        """The options of the planner.

        Raises:
            InputError: `backend` is not a list of names.
        """
        return PlanOptions(backends=parse_backend_option(self.backend), limit=self.limit, salt=self.salt)

    def gate_layer(self) -> dict[str, Any]:
        """The request's own `keep`, `reject` and `reroll`; see `tasks.core.gates`."""
        return build_option_layer(best=self.keep_best, by=self.keep_by, reject=self.reject, rerolls=self.rerolls)

    def read_options(self, settings: Settings) -> ReadOptions:
        """Options for reading the manifest: the request's over the configuration's.

        Raises:
            InputError: A column is given a meaning that there is not, or there is no such encoding.
        """
        return build_read_options(
            settings.columns,
            file=settings.file,
            ignore=self.ignore_columns,
            prompt_column=self.prompt_column,
            literal=self.literal,
            encoding=self.encoding,
        )

    def reopened(self) -> EndedFilter | None:
        """The ended jobs that are opened again; None for none.

        Raises:
            InputError: `only` is not a list of states or error kinds.
        """
        if self.only is not None:
            return _parse_only(self.only)
        # A resume with another backend is a resume of what failed, so the failed jobs are opened.
        failed = self.retry_failed or (self.manifest is None and self.backend is not None)
        wanted = ((failed, JobState.FAILED), (self.retry_held, JobState.HELD))
        states = frozenset(state for chosen, state in wanted if chosen)
        return EndedFilter(states) if states else None


def _parse_only(text: str) -> EndedFilter:
    """Parse `--only`: either states, or error kinds of failed and held jobs."""
    # States and error kinds are words of one kind to the user; a mixture cannot be meant.
    names, both = {name.strip() for name in text.split(",")} - {""}, frozenset(NO_IMAGE_STATES)
    states = frozenset(state for state in both if state in names)
    if not names or (states and names - states):
        raise InputError("--only takes failed, held or error kinds (see `imagen status`), separated by commas")
    return EndedFilter(states or both, frozenset(names) - states)
