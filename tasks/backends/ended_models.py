"""Models that their service ends: described services say it themselves, and OpenAI's own are in this file."""

from __future__ import annotations

from datetime import date

from tasks.core.configuration.sections import BackendSettings
from tasks.core.presets import describe_end

OPENAI_HOST = "api.openai.com"
_SOURCE = (
    "developers.openai.com/api/docs/deprecations, read 2026-11-26; use gpt-image-2.6-sunburst or gpt-image-2.6-flare"
)
_DECEMBER = date(2026, 12, 1)
_OPENAI = {
    "dall-e-2": date(2026, 5, 12),
    "dall-e-3": date(2026, 5, 12),
    "gpt-image-1": date(2026, 10, 23),
    "gpt-image-1-mini": _DECEMBER,
    "gpt-image-1.5": _DECEMBER,
    "gpt-image-1.5-2025-12-16": _DECEMBER,
    "chatgpt-image-latest": _DECEMBER,
}


def describe_model_end(instance: BackendSettings, model: str) -> str | None:
    """The sentence for people about a model of this instance that ends, or ended; None where no end is known."""
    base = str(instance.options.get("api_base") or OPENAI_HOST)
    # Other servers of this type may go on with a model of the same name.
    if instance.type == "openai" and OPENAI_HOST in base and (day := _OPENAI.get(model)) is not None:
        return f"OpenAI ends the model {model} on {day} ({_SOURCE})"
    return describe_end(instance.service, model)
