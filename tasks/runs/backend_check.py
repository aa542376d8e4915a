"""`imagen backends --check`: whether an instance works, found out before a night depends on it.

A service that can be asked for nothing is asked; with any other, one image is made, as a batch of its own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from tasks.backends import build_backend, require_ready
from tasks.core.errors import ConfigError
from tasks.core.money import format_micros
from tasks.core.paths import RUNS_FOLDER
from tasks.runs.checks import check_request
from tasks.runs.configuration import load_run_settings
from tasks.runs.request import RunRequest
from tasks.runs.trial import build_trial

PROMPT = "a red circle on a white background"


def check_freely(name: str, config: str | None) -> str | None:
    """Ask the service at no cost; the answer for people, or None where only an image can tell. Blocks.

    Raises:
        ConfigError: The instance is not set up, its key is not accepted, or the service cannot be asked.
    """
    backend = build_backend(name, load_run_settings(config, anew=True))
    require_ready(name, backend)
    # Backends of other packages may have no such method; they make an image.
    ask = getattr(backend, "check_freely", None)
    if ask is None:
        return None
    told: str | None = ask()
    return told


def build_check(name: str, config: str | None) -> AbstractContextManager[RunRequest]:
    """The request for one image, in a folder of its own: an earlier check's image would prove nothing today."""
    out = Path(RUNS_FOLDER, "checks", f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    return build_trial(PROMPT, samples=1, out=str(out), config=config, backend=name, budget_usd=None)


def describe_cost(request: RunRequest) -> str | None:
    """The price of the image, for a question; None where it is free.

    Raises:
        ConfigError, ManifestError: The instance cannot make it.
    """
    report = check_request(request)
    if report is None:
        raise ConfigError("a check needs a prompt")
    if report.unpriced:
        return "an unknown price"
    return format_micros(report.estimate_micros) if report.estimate_micros else None
