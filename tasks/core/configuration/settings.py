"""The typed configuration: one file, found in one place, every mistake named with its line.

Takes `imagen.yaml` (or nothing: the built-in settings work), gives a frozen `Settings`. What a backend
type understands beyond the common keys is validated by that type, when the backend is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tasks.core.caps.cap import CapSettings, check_caps
from tasks.core.configuration.mistakes import require_texts
from tasks.core.configuration.sections import (
    BackendSettings,
    LedgerUrl,
    OutputSettings,
    RunnerSettings,
    ScoreName,
    Section,
    StopSettings,
    UnitPrices,
    UsageSettings,
)
from tasks.core.configuration.yaml_file import read_yaml
from tasks.core.gates import Expression, Gates, KeepBest
from tasks.core.judge import JudgeSettings
from tasks.core.paths import make_whole
from tasks.core.presets.workflows import embed_workflow
from tasks.core.values import MOST_REROLLS, parse_backend_names


class Settings(Section):
    """Everything that can be configured."""

    default_backend: Annotated[str | list[str], BeforeValidator(require_texts)] = "sketch"
    backends: dict[str, BackendSettings] = Field(default_factory=lambda: {"sketch": BackendSettings(type="sketch")})
    prices: dict[str, UnitPrices] = Field(default_factory=dict, description="by model; override the price table")
    columns: dict[str, str | None] = Field(
        default_factory=dict, description="what a manifest's columns mean: a column, option, carry, or ignore (null)"
    )
    output: OutputSettings = OutputSettings()
    keep: KeepBest | None = Field(None, description="keep the best images of each row; the others stay in the folder")
    reject: Expression | None = Field(None, description="condition for images that do not count, such as: blank")
    scores: dict[ScoreName, JudgeSettings] = Field(default_factory=dict, description="judges by their names")
    reroll: int = Field(0, ge=0, le=MOST_REROLLS, description="further tries for each image that is rejected")
    runner: RunnerSettings = RunnerSettings()
    stop: StopSettings = StopSettings()
    usage: UsageSettings = UsageSettings()
    reuse: Annotated[list[str], BeforeValidator(lambda it: [it] if isinstance(it, str) else it)] = Field(
        default_factory=list, description="folders, globs and buckets whose images are taken over instead of made again"
    )
    reuse_any_salt: bool = Field(False, description="take over images of another salt too")
    ledger: LedgerUrl | None = Field(None, description="PostgreSQL database; null: SQLite in the output folder")
    priority: float = Field(
        1.0, ge=0.01, le=100, description="share of an account's pace beside other batches: 2 gets twice as much as 1"
    )
    caps: list[CapSettings] = Field(default_factory=list, description="the most of all batches in a day or month")
    caps_database: LedgerUrl | None = Field(
        None, description="PostgreSQL database that counts them; null: the ledger's, else the user's state folder"
    )

    _file: str = PrivateAttr("the built-in settings")

    @property
    def file(self) -> str:
        """The settings' file, for messages."""
        return self._file

    @property
    def default_backends(self) -> tuple[str, ...]:
        """Instances for rows that name none, in the order in which they are tried."""
        return parse_backend_names(self.default_backend)

    @property
    def gates(self) -> Gates:
        """The rules about which images count."""
        return Gates(keep=self.keep, reject=self.reject, reroll=self.reroll)

    @property
    def ledger_url(self) -> str | None:
        """The database of a new batch's ledger, password and all; None: the output folder."""
        return None if self.ledger is None else self.ledger.get_secret_value()

    @property
    def caps_url(self) -> str | None:
        """The database that counts the caps, password and all; None: the ledger's, else the state folder."""
        return self.ledger_url if self.caps_database is None else self.caps_database.get_secret_value()

    @field_validator("caps", mode="after")
    @classmethod
    def _caps_hold(cls, caps: list[CapSettings], info: ValidationInfo) -> list[CapSettings]:
        # Backends that have problems of their own are not there, and are told first.
        if "backends" in info.data:
            payers = {**info.data["backends"], **info.data.get("scores", {})}
            check_caps(caps, {name: payer.model for name, payer in payers.items()})
        return caps

    @model_validator(mode="after")
    def _default_exists(self) -> Settings:
        for name in self.default_backends:
            if name not in self.backends:
                msg = f"default_backend: {name!r} is not one of the backends ({', '.join(self.backends)})"
                raise ValueError(msg)
        return self


def load_settings(path: Path | None, *, source: str | None = None) -> Settings:
    """Read and validate the configuration.

    Args:
        path: The file; None: the built-in settings.
        source: The address that the file is a passing copy of; its caps are not read anew while a batch runs.

    Raises:
        ConfigError: The file cannot be read or a setting cannot be used; names file, line and setting.
    """
    if path is None:
        return Settings()
    settings = read_yaml(path, Settings, missing="there is no such configuration file; `imagen init` writes one")
    # Set behind pydantic's back: the file's name is no setting, and must not be read from one.
    settings._file = source or str(path)  # noqa: SLF001  its own module
    # From the file's folder on: a night starts in another one.
    places = [make_whole(place, path.absolute().parent) for place in settings.reuse]
    return _embed_workflows(settings.model_copy(update={"reuse": places}) if places else settings, path)


def _embed_workflows(settings: Settings, path: Path) -> Settings:
    """Put the graphs of ComfyUI in place of the files that hold them: a batch's ledger keeps the settings alone."""
    folder = path.absolute().parent
    found = {
        name: instance.model_copy(
            update=embed_workflow(instance.options.get("workflow"), instance.model, folder=folder)
        )
        for name, instance in settings.backends.items()
        if instance.type == "comfyui"
    }
    return settings.model_copy(update={"backends": {**settings.backends, **found}}) if found else settings
