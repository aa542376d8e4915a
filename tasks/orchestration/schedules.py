"""Schedules of manifests, as `imagen serve` is asked for them: on the command line or in a file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect.client.schemas.schedules import CronSchedule
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tasks.core.addresses import WAY_FOR_SECRETS, find_secret
from tasks.core.caps.periods import TimeZone
from tasks.core.configuration.yaml_file import explain_setting, read_yaml
from tasks.core.errors import ConfigError, ImagenError
from tasks.core.paths import expand_home, get_default_out, locate_config, make_whole
from tasks.manifest.remote import is_remote
from tasks.runs.checks import check_request
from tasks.runs.request import DATE, RunRequest
from tasks.store.output.bucket_url import parse_bucket_url

# Prefect calls its time zone UTC, and a cron line without one is read in it.
UTC_ZONE = "UTC"
# Prefect takes six fields as well, with the seconds at the end; Quartz and Spring write them at the beginning.
CRON_FIELDS = 5
# February is counted with 29 days: a schedule of the 29th comes once in four years.
LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month at most."""


def check_cron(text: str) -> str:
    """Pass for a cron line of five fields, or an alias such as @daily, that comes some day.

    Prefect reads a sixth field as seconds at the end; Quartz and Spring write them at the beginning.

    Raises:
        ValueError: It is none, or names days that no month has.
    """
    fields = text.split()
    try:
        known = CronSchedule(cron=text).cron if len(fields) == CRON_FIELDS or text.startswith("@") else None
    except ValidationError:
        known = None
    if known is None:
        raise ValueError(
            f'{text!r} is no cron line; it has five fields (minute hour day month weekday), as in "0 2 * * *"'
        )
    if len(fields) == CRON_FIELDS and not _can_come(*fields[2:]):
        raise ValueError(f"{text!r} never comes: none of its months has such a day")
    return known


def _can_come(day: str, month: str, weekday: str) -> bool:
    """False where all days lie beyond the ends of all months; a weekday comes beside them."""
    days, months = _expand(day, 31), _expand(month, 12)
    return weekday not in {"*", "?"} or any(number <= LONGEST[at - 1] for at in months for number in days)


def _expand(field: str, last: int) -> set[int]:
    """The numbers of a field; all of them where it holds names or letters, which are left to Prefect."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, end = span.partition("-")
        # Names such as `mon` are Prefect's to understand; the question here is only whether the line ever comes.
        if not first.isdecimal() or (end or "0").isdecimal() is False or (step or "1").isdecimal() is False:
            return set(range(1, last + 1))
        stop = int(end) if end else last if step else int(first)
        found |= set(range(int(first), min(stop, last) + 1, max(1, int(step or 1))))
    return found


def _is_address(place: str, *, output: bool) -> bool:
    """False for a path; outputs know fewer kinds of addresses than what is read."""
    return parse_bucket_url(place) is not None if output else is_remote(place)


class Schedule(RunRequest):
    """A run that repeats: by default into a folder of its day, with new images each time."""

    cron: Annotated[str, AfterValidator(check_cron)]
    timezone: TimeZone | None = UTC_ZONE
    when_busy: Literal["queue", "cancel"] = Field(
        "queue",
        description="A run that comes while the last one is busy waits for it, or is cancelled.",
    )
    name: str = Field("", description="Name of the deployment; default the manifest's.", pattern=r"^[^/%&><]*$")

    @model_validator(mode="before")
    @classmethod
    def _by_the_manifest(cls, values: Any) -> Any:
        """Name, folder, salt and configuration where they are not said; all paths from this folder on."""
        if not isinstance(values, dict):
            return values
        manifest = values.get("manifest")
        if not isinstance(manifest, str) or not manifest or manifest == "-":
            # A schedule reads its manifest at each run, so it cannot come from a pipe that ends.
            raise ValueError("a schedule needs the path of a manifest, which is read at each run")
        name = values.get("name") or Path(manifest).stem
        values = {
            "out": f"{get_default_out(str(name))}/{DATE}",
            "salt": DATE,
            "config": locate_config(),
            **values,
            "name": name,
        }
        for key in ("manifest", "out", "config"):
            place = values[key]
            # Runs are started in a folder of the server's choosing, so every path has to be whole.
            if isinstance(place, str | Path) and not _is_address(str(place), output=key == "out"):
                values[key] = str(Path(expand_home(str(place))).absolute())
        if isinstance(values.get("reuse"), list):
            values["reuse"] = [make_whole(str(place), Path.cwd()) for place in values["reuse"]]
        return values

    @field_validator("manifest", "config", mode="after")
    @classmethod
    def _refuse_secrets(cls, value: str | None) -> str | None:
        """Refuse what would stand in Prefect's database for as long as the deployment does."""
        if value is not None and (what := find_secret(value)):
            raise ValueError(f"the address holds {what}, and Prefect would keep it: {WAY_FOR_SECRETS}")
        return value

    def request(self) -> RunRequest:
        """The parameters of each run; `{date}` is still to be filled in."""
        return RunRequest.model_validate(self.model_dump(include=set(RunRequest.model_fields)))

    @property
    def folder(self) -> str:
        """The output above all its days; without a date in its path, the output itself."""
        # The folder above the dated one holds all nights, which is what a cleanup or a resume looks through.
        parts = self.out.split("/")
        dated = next((number for number, part in enumerate(parts) if DATE in part), len(parts))
        return "/".join(parts[:dated]) or "/"

    def line(self) -> str:
        """For people."""
        return f"{self.name}: {self.manifest} at {self.cron} ({self.timezone}) into {self.out}"


class Schedules(BaseModel):
    """A file of schedules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedules: list[Schedule] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Schedules:
        for key in ("name", "out"):
            values = [str(getattr(schedule, key)) for schedule in self.schedules]
            # Two schedules with one folder would take turns in one batch, and each would drop the other's rows.
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"two schedules have the same {key}: {', '.join(twice)}")
        return self


def read_schedules(path: Path) -> list[Schedule]:
    """The schedules of a file.

    Raises:
        ConfigError: It cannot be read or used; every problem with its line and key.
    """
    return read_yaml(path, Schedules, missing="there is no such file").schedules


def build_schedule(options: dict[str, tuple[str, Any]]) -> Schedule:
    """One schedule from the command line.

    Args:
        options: By field: the option's name, and its value; None: not given.

    Raises:
        ConfigError: An option cannot be used.
    """
    # None means that the option was not given, not that it is empty.
    given = {field: value for field, (_, value) in options.items() if value is not None}
    try:
        return Schedule.model_validate(given)
    except ValidationError as exc:
        lines = [
            explain_setting({**error, "loc": ()}, options[str(error["loc"][0])][0] if error["loc"] else "MANIFEST")
            for error in exc.errors()
        ]
        raise ConfigError("\n".join(lines)) from None


def check_schedules(schedules: list[Schedule]) -> None:
    """Read every manifest before anything starts.

    Raises:
        ConfigError: Problems of manifests or configurations; all of them.
    """
    problems = []
    # All of them before the first is deployed: a mistake in the last one must not leave the others running.
    for schedule in schedules:
        try:
            check_request(schedule.request().on(datetime.now(UTC)))
        except ImagenError as exc:
            problems.append(str(exc))
    if problems:
        raise ConfigError("\n".join(problems))
