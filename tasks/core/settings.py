"""The typed configuration: one file, found in one place, every mistake named with its line.

Takes `imagen.yaml` (or nothing: the built-in settings work), gives a frozen `Settings`. What a backend
type understands beyond the common keys is validated by that type, when the backend is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tasks.core.caps.cap import CapSettings, check_caps
from tasks.core.database import check_database_url, hide_password
from tasks.core.gates import Expression, Gates, KeepBest
from tasks.core.judge import JudgeSettings
from tasks.core.paths import get_state_folder, make_whole
from tasks.core.presets import expand_preset
from tasks.core.presets.workflows import embed_workflow
from tasks.core.records import RunnerKind
from tasks.core.values import MOST_REROLLS, find_json_problem, parse_backend_names
from tasks.core.yaml_file import read_yaml

ImageFormat = Literal["png", "jpeg", "webp"]
Verify = Literal["auto", "decode"]


def _check_sendable(options: dict[str, Any]) -> dict[str, Any]:
    if reason := find_json_problem(options):
        raise ValueError(f"cannot be sent as JSON ({reason})")
    return options


ScoreName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable: what it holds, a secret, never stands in the configuration."""
Price = Annotated[float, Field(ge=0, le=100_000)]
"""Dollars; no image costs more. A greater one would not fit into the usage table, nor a batch of them into the ledger."""


LedgerUrl = Annotated[
    SecretStr,
    AfterValidator(lambda url: SecretStr(check_database_url(url.get_secret_value()))),
    PlainSerializer(lambda url: hide_password(url.get_secret_value())),
]
"""It may hold a password, which is neither shown nor kept."""


class _Section(BaseModel):
    # `forbid`, because a misspelled setting that is ignored can cost money; `strict`, because a quoted number is a mistake.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class BackendSettings(BaseModel):
    """One backend instance: the keys that every type has; others belong to the type itself."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())

    type: str = Field(description="backend type, as `imagen backends` lists them")
    service: str = Field("", description="image service whose prices hold; its name as the type sets it")
    model: str = Field("", description="model reference in the provider's own spelling")
    concurrency: int = Field(16, ge=1, le=10_000, description="jobs in flight at most")
    creates_per_min: float | None = Field(
        None, gt=0, description="new predictions a minute at most; null: the type's own"
    )
    group_by_shape: bool = Field(
        False, description="jobs of one size and options go side by side, for a server that makes them in one go"
    )
    max_attempts: int = Field(3, ge=1, le=20, description="paid attempts for one job at most, in one run")
    price_usd: Price | None = Field(None, description="dollars for one image; overrides every other price")
    backend_opts: Annotated[dict[str, Any], AfterValidator(_check_sendable)] = Field(
        default_factory=dict, description="sent with every job; a row's own win"
    )

    @model_validator(mode="before")
    @classmethod
    def _expand_service(cls, values: Any) -> Any:
        """An image service by its name is a description of another type."""
        return expand_preset(values)

    @property
    def options(self) -> dict[str, Any]:
        """The keys that belong to the backend type."""
        # Checked by the type itself, when the backend is built: this module knows no types.
        return dict(self.model_extra or {})


class UnitPrices(_Section):
    """Dollars by unit of one model; they add up."""

    run: Price = Field(0.0, description="for each run")
    image: Price = Field(0.0, description="for each output image")
    megapixel: Price = Field(0.0, description="for each begun megapixel of output")
    input_megapixel: Price = Field(0.0, description="for each begun megapixel of reference images")
    second: Price = Field(0.0, description="for each second of compute")
    input_million_tokens: Price = Field(0.0, description="for a million tokens of the prompt")
    input_million_image_tokens: Price = Field(0.0, description="for a million tokens of reference images")
    output_million_tokens: Price = Field(0.0, description="for a million tokens of the image")
    output_million_text_tokens: Price = Field(0.0, description="for a million tokens of the text beside it")


class SigningSettings(_Section):
    """The certificate that images are signed with."""

    certificate_env: VariableName = Field(
        "C2PA_CERTIFICATE", description="variable with the chain of certificates in PEM, or the path of its file"
    )
    key_env: VariableName = Field("C2PA_PRIVATE_KEY", description="variable with the private key, likewise")
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = Field(
        "es256", description="of the key"
    )


class OutputSettings(_Section):
    """Settings of the images' files."""

    format: ImageFormat = Field("png", description="where neither the row nor the backend says otherwise")
    quality: int = Field(90, ge=1, le=100, description="for jpeg and webp")
    embed_parameters: bool = Field(True, description="write prompt, seed and model into the image file")
    verify: Verify = Field("auto", description="auto: by checksums and lengths; decode: decode every image too")
    provenance: Literal["iptc", "c2pa", "none"] = Field(
        "iptc", description="iptc: say in the file that it was generated; c2pa: sign that too; none: neither"
    )
    c2pa: SigningSettings = SigningSettings()

    @property
    def signing(self) -> SigningSettings | None:
        """The certificate to sign with; None: images are not signed."""
        return self.c2pa if self.provenance == "c2pa" else None


class StopSettings(_Section):
    """When a batch gives up by itself; it can be resumed."""

    error_rate: float = Field(0.5, gt=0, le=1, description="share of failures that stops the batch")
    error_window: int = Field(20, ge=1, description="over how many of the last finished jobs")


class RunnerSettings(_Section):
    """Settings of the processes that work through the batch's shards."""

    kind: RunnerKind = Field("local", description="local: in this process; dask, ray: in worker processes")
    workers: int | None = Field(
        None, ge=1, le=10_000, description="shards at once; null: as many as the cluster has places"
    )
    cluster: str | None = Field(
        None, description="address of a running cluster; null: one on this machine, for the run"
    )
    lease_s: float = Field(
        180.0,
        ge=3,
        description="lease length in seconds: the jobs of a worker that died are free again after this time",
    )

    @property
    def send_margin_s(self) -> float:
        """The part of a lease that must be left when a paid call leaves."""
        # A third: renewals come every quarter, so two may fail before nothing can be sent.
        return self.lease_s / 3


class UsageSettings(_Section):
    """The sink of usage (cost) rows."""

    sink: Literal["sqlite", "postgres", "supabase", "none"] = "sqlite"
    path: str | None = Field(None, description="sqlite: database file; null: in the user's state folder")
    database_url_env: VariableName = Field("IMAGEN_USAGE_DATABASE_URL", description="postgres: variable with its URL")
    url_env: VariableName = Field("SUPABASE_URL", description="supabase: variable with the project's URL")
    key_env: VariableName = Field("SUPABASE_SERVICE_ROLE_KEY", description="supabase: variable with the secret key")
    rest_path: str = Field("/rest/v1", description="supabase: the API's path under the URL; empty: a bare PostgREST")

    @property
    def database(self) -> Path:
        """The file of the sqlite sink; `~` in it is not spelled out yet."""
        return Path(self.path) if self.path else get_state_folder() / "usage.db"


class Settings(_Section):
    """Everything that can be configured."""

    default_backend: str | list[str] = "sketch"
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
            check_caps(caps, {name: instance.model for name, instance in info.data["backends"].items()})
        return caps

    @model_validator(mode="after")
    def _default_exists(self) -> Settings:
        for name in self.default_backends:
            if name not in self.backends:
                msg = f"default_backend: {name!r} is not one of the backends ({', '.join(self.backends)})"
                raise ValueError(msg)
        return self


def load_settings(path: Path | None) -> Settings:
    """Read and validate the configuration.

    Raises:
        ConfigError: The file cannot be read or a setting cannot be used; names file, line and setting.
    """
    if path is None:
        return Settings()
    settings = read_yaml(path, Settings, missing="there is no such configuration file; `imagen init` writes one")
    # Set behind pydantic's back: the file's name is no setting, and must not be read from one.
    settings._file = str(path)  # noqa: SLF001  its own module
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
