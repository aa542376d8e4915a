"""What a user asks of a run: the one list of parameters of the command line, the flow, its deployments and its form.

Plain values, as they travel through Prefect. `{date}` in the output folder and in the salt is the day on which the
run was to start, so that a night that starts late, or is retried, keeps its folder.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tasks.core.errors import InputError
from tasks.core.money import MOST_USD
from tasks.core.records import EndedFilter, JobState, RunnerKind
from tasks.core.values import parse_backend_option
from tasks.plan.planner import PlanOptions
from tasks.plan.reroll import Reroll

DATE = "{date}"


def check_time_zone(name: str) -> str:
    """Pass for a time zone of the IANA database, such as Europe/Berlin.

    Raises:
        ValueError: There is none of this name.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write it as Europe/Berlin or UTC") from None
    return name


TimeZone = Annotated[str, AfterValidator(check_time_zone)]


class RunRequest(BaseModel):
    """The parameters of one run. Prefect's form shows the descriptions and holds inputs to the bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: str = Field(
        description="Output folder, or the URL of a place in a bucket; an existing batch goes on. "
        "{date} in it is the day the run was to start."
    )
    manifest: str | None = Field(
        None, description="Path of the manifest; none goes on from the output folder's ledger alone."
    )
    config: Path | None = Field(
        None, description="Path of the configuration; none uses the built-in settings, on a resume the last run's."
    )
    backend: str | None = Field(
        None,
        description="Backend for rows that name none; a,b tries b where a cannot serve a row. "
        "On a resume: takes over what failed.",
    )
    limit: int | None = Field(
        None, ge=1, description="Only the manifest's first so many jobs; on a resume the first so many open jobs."
    )
    budget_usd: float | None = Field(
        None,
        ge=0,
        le=MOST_USD,
        description="Hard cap in US dollars over the batch's whole life; none on a resume: the last run's.",
    )
    concurrency: int | None = Field(
        None, ge=1, le=10_000, description="Jobs in flight at most, for each backend; overrides every backend's own."
    )
    salt: str = Field("", description="Another salt gives new pictures for the same manifest. Takes {date}, like out.")
    timezone: TimeZone | None = Field(
        None, description="Time zone of {date}, such as Europe/Berlin; none: that of the machine that runs it."
    )
    retry_failed: bool = Field(default=False, description="Try failed jobs again.")
    retry_held: bool = Field(
        default=False, description="Look once more for jobs that may have been paid for, then pay again."
    )
    only: str | None = Field(
        None,
        description="On a resume: nothing but what ended as failed, held, or an error kind (several with commas); "
        "it is tried again.",
    )

    runner: RunnerKind | None = Field(
        None, description="local (this process), dask or ray (worker processes); none: as configured."
    )
    workers: int | None = Field(
        None, ge=1, le=10_000, description="Shards at once on a cluster; none: as many as it has places."
    )
    cluster: str | None = Field(
        None, description="Address of a running cluster; none: worker processes of this machine, for the run."
    )
    reroll: Reroll | None = Field(None, description="One picture once more, and nothing else.")

    def on(self, start: datetime) -> RunRequest:
        """The same with `{date}` filled in.

        Args:
            start: When the run was to start; aware.
        """
        date = start.astimezone(ZoneInfo(self.timezone) if self.timezone else None).date().isoformat()
        filled = {"out": self.out.replace(DATE, date), "salt": self.salt.replace(DATE, date)}
        return self.model_copy(update=filled)

    def parameters(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values: the flow's parameters."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def plan_options(self) -> PlanOptions:
        """The part that the planner needs.

        Raises:
            InputError: `backend` cannot be the name of one.
        """
        return PlanOptions(backends=parse_backend_option(self.backend), limit=self.limit, salt=self.salt)

    def reopened(self) -> EndedFilter | None:
        """Jobs that count as open again; None: none of them.

        Raises:
            InputError: `only` names nothing that a job ends as.
        """
        if self.only is not None:
            return _parse_only(self.only)
        failed = self.retry_failed or (self.manifest is None and self.backend is not None)
        wanted = ((failed, JobState.FAILED), (self.retry_held, JobState.HELD))
        states = frozenset(state for chosen, state in wanted if chosen)
        return EndedFilter(states) if states else None


def _parse_only(text: str) -> EndedFilter:
    """What `--only` names: states, or error kinds of both."""
    names, both = {name.strip() for name in text.split(",")} - {""}, frozenset({JobState.FAILED, JobState.HELD})
    states = frozenset(state for state in both if state in names)
    if not names or (states and names - states):
        raise InputError("--only takes failed, held, or error kinds as `imagen status` lists them, with commas between")
    return EndedFilter(states or both, frozenset(names) - states)
