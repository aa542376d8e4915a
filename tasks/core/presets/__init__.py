"""Image services by name: each a data file here, which describes an instance of the type `http` or `openai`.

`type: gemini` in the configuration is such a description with what the user writes beside it put over it. To add a
service, write a file of the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).parent
SUFFIX = ".yaml"


class Preset(BaseModel):
    """One service."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str = Field(description="the service and its models, for people")
    key: str | None = Field(description="variable that holds its key; null: none is needed")
    key_at: str | None = Field(description="where a key is made")
    refused: str = Field(description="how a refused prompt is told, and whether it is billed")
    lost: str = Field(description="what becomes of a create whose answer was lost")
    kept: str = Field(description="how long an image can be fetched")
    checked: str = Field(description="what its shape was held against, and when")
    price: str = Field(description="how it is billed, for people")
    models: list[str] = Field(default_factory=list, description="models that it is known to have")
    sizes: str = Field(description="what becomes of a row's size")
    limits: str = Field(description="calls at once and a minute, and what says that there are too many")
    prices: dict[str, dict[str, float]] = Field(default_factory=dict, description="dollars by model and unit")
    prices_from: str | None = Field(None, description="where the prices were read")
    prices_on: date | None = Field(None, description="when")
    ended: dict[str, date] = Field(default_factory=dict, description="models with the day on which they end, or ended")
    ended_from: str | None = Field(None, description="where that was read, and what to use in their place")
    instance: dict[str, Any] = Field(description="the settings, under their engine's type")


@cache
def list_presets() -> tuple[str, ...]:
    """Names of the services, in order."""
    return tuple(sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}")))


@cache
def load_preset(name: str) -> Preset:
    """The service of that name, which is one of `list_presets`."""
    return Preset.model_validate(
        yaml.load((FOLDER / f"{name}{SUFFIX}").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    )


def expand_preset(values: Any) -> Any:
    """The settings of an instance; where its type is a service's name, with that service's description under them."""
    if not isinstance(values, Mapping) or values.get("type") not in list_presets():
        return values
    own = {name: value for name, value in values.items() if name != "type"}
    # The user's own settings win.
    return {**load_preset(str(values["type"])).instance, "service": values["type"], **own}


def find_key_source(variable: str) -> str | None:
    """The address at which the key of this variable is made; None where no service names it."""
    presets = map(load_preset, list_presets())
    return next((preset.key_at for preset in presets if preset.key == variable), None)


def describe_end(service: str, model: str) -> str | None:
    """The sentence for people about a model that its service ends; None where no end is known."""
    preset = load_preset(service) if service in list_presets() else None
    if preset is None or (day := preset.ended.get(model)) is None:
        return None
    return f"{service} ends the model {model} on {day} ({preset.ended_from})"
