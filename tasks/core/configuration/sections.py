"""The sections of the configuration, each with the settings that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    model_validator,
)

from tasks.core.database import check_database_url, hide_password
from tasks.core.paths import get_state_folder
from tasks.core.presets import expand_preset
from tasks.core.records import RunnerKind
from tasks.core.values import find_json_problem

ImageFormat = Literal["png", "jpeg", "webp"]
Verify = Literal["auto", "decode"]


def _check_sendable(options: dict[str, Any]) -> dict[str, Any]:
    if reason := find_json_problem(options):
        raise ValueError(f"cannot be sent as JSON ({reason})")
    return options


def _check_score_name(name: str) -> str:
    if name == "kept" or name.startswith("kept_"):
        raise ValueError("the decisions of keep and reject have this name; call the judge something else")
    return name


ScoreName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$"), AfterValidator(_check_score_name)]
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


class Section(BaseModel):
    """A part of the configuration that refuses what it does not know."""

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


class UnitPrices(Section):
    """Dollars by unit of one model; they add up."""

    run: Price = Field(0.0, description="for each run")
    image: Price = Field(0.0, description="for each output image")
    megapixel: Price = Field(0.0, description="for each begun megapixel of output")
    input_megapixel: Price = Field(0.0, description="for each begun megapixel of reference images")
    second: Price = Field(0.0, description="for each second of compute")
    step: Price = Field(0.0, description="for each step of an image")
    input_million_tokens: Price = Field(0.0, description="for a million tokens of the prompt")
    input_million_image_tokens: Price = Field(0.0, description="for a million tokens of reference images")
    output_million_tokens: Price = Field(0.0, description="for a million tokens of the image")
    output_million_text_tokens: Price = Field(0.0, description="for a million tokens of the text beside it")


class SigningSettings(Section):
    """The certificate that images are signed with."""

    certificate_env: VariableName = Field(
        "C2PA_CERTIFICATE", description="variable with the chain of certificates in PEM, or the path of its file"
    )
    key_env: VariableName = Field("C2PA_PRIVATE_KEY", description="variable with the private key, likewise")
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = Field(
        "es256", description="of the key"
    )


class OutputSettings(Section):
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


class StopSettings(Section):
    """When a batch gives up by itself; it can be resumed."""

    error_rate: float = Field(0.5, gt=0, le=1, description="share of failures that stops the batch")
    error_window: int = Field(20, ge=1, description="over how many of the last finished jobs")


class RunnerSettings(Section):
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


class UsageSettings(Section):
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
