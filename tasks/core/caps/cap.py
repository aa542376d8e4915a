"""One cap of the configuration: an amount for a day or month, and the attempts that count."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.core.caps.periods import Per, Period, TimeZone, find_period
from tasks.core.money import MOST_USD, format_exact, to_cap_micros

MOST_IMAGES = 1_000_000_000
Pattern = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Payer:
    """The account that an attempt is charged to."""

    caller: str
    backend: str
    model: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The attempts and the period that a cap adds up; caps of different amounts may share one."""

    per: Per
    timezone: str
    caller: str | None
    model: str | None
    backend: str | None

    def covers(self, payer: Payer) -> bool:
        """True if attempts of this payer count."""
        # A version behind the model's name is no other model: a pinned one must not get past its cap.
        models = (payer.model, payer.model.partition(":")[0])
        return (
            self.covers_caller(payer.caller)
            and (self.backend is None or _matches(payer.backend, self.backend))
            and (self.model is None or any(_matches(model, self.model) for model in models))
        )

    def covers_caller(self, caller: str) -> bool:
        """True if attempts of this caller may count."""
        return self.caller is None or _matches(caller, self.caller)

    def find_period(self, at_us: int) -> Period:
        """The period that an instant belongs to."""
        return find_period(self.per, self.timezone, at_us)


def _matches(name: str, pattern: str) -> bool:
    """True if a name is as a pattern says: `*` and `?` stand for any letters, and everything else for itself."""
    # A bracket is a letter of names such as "team [a]", whose cap would never hold otherwise.
    return fnmatchcase(name, pattern.replace("[", "[[]"))


class CapSettings(BaseModel):
    """The most that all batches may spend, or make, in a day or month."""

    # As every section of the configuration: a misspelled key would lift the cap in silence.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    usd: Annotated[float, Field(ge=0, le=MOST_USD)] | None = Field(None, description="dollars")
    images: Annotated[int, Field(ge=0, le=MOST_IMAGES)] | None = Field(None, description="images, in place of dollars")
    per: Per = Field(description="day or month")
    caller: Pattern | None = Field(None, description="only attempts of this caller; * and ? stand for any letters")
    model: Pattern | None = Field(None, description="only of this model, such as */flux-dev")
    backend: Pattern | None = Field(None, description="only of this backend")
    timezone: TimeZone = Field("UTC", description="where days and months begin, such as Europe/Berlin")

    @model_validator(mode="after")
    def _has_one_amount(self) -> CapSettings:
        if (self.usd is None) == (self.images is None):
            msg = "needs either usd or images, as in {usd: 20, per: day}"
            raise ValueError(msg)
        return self

    @property
    def scope(self) -> Scope:
        """The attempts that count."""
        return Scope(self.per, self.timezone, self.caller, self.model, self.backend)

    @property
    def most_micros(self) -> int | None:
        """The amount in millionths of a dollar; None for a cap on images."""
        return None if self.usd is None else to_cap_micros(self.usd)

    def describe(self) -> str:
        """The cap in words: `$20.00 a day (UTC) for caller studio`."""
        amount = f"{self.images:,} images" if self.usd is None else format_exact(self.most_micros or 0)
        named = (("caller", self.caller), ("model", self.model), ("backend", self.backend))
        filters = ", ".join(f"{name} {value}" for name, value in named if value is not None)
        return f"{amount} a {self.per} ({self.timezone}){f' for {filters}' if filters else ''}"


def check_caps(caps: Collection[CapSettings], models: dict[str, str]) -> None:
    """Check caps against backends and judges: one whose pattern meets nothing would never hold.

    Args:
        caps: All of them.
        models: The model of each configured backend and judge, by its name.

    Raises:
        ValueError: Two are for the same attempts, or one meets no backend or model.
    """
    seen: dict[tuple[Scope, bool], int] = {}
    for number, cap in enumerate(caps):
        first = seen.setdefault((cap.scope, cap.usd is None), number)
        if first != number:
            raise ValueError(f"cap {number + 1} is for the same attempts as cap {first + 1}; keep one of them")
        # The caller is known only when a run begins.
        scope = replace(cap.scope, caller=None)
        if not any(scope.covers(Payer("", name, model)) for name, model in models.items()):
            known = ", ".join(f"{name} ({model})" if model else name for name, model in models.items())
            raise ValueError(
                f"cap {number + 1} meets no backend by its `backend` and `model`, so it would never hold; there are: {known}"
            )
