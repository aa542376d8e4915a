"""The subject of the suite: a backend, a stand-in for its service, and how its next job can end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tasks.backends.base import Backend, BackendContext
from tasks.core.configuration.sections import BackendSettings, OutputSettings
from tasks.core.identity import compute_job_id, derive_seed
from tasks.core.records import Job

NAME = "subject"


class Ending(StrEnum):
    """Endings of a subject's next job, whatever its service calls them."""

    THROTTLED = "it came too soon, and nothing was created"
    BAD_KEY = "the key is not accepted"
    NO_CREDIT = "the account is empty"
    INVALID = "the service calls the request invalid, and created nothing"
    REFUSED = "moderation refuses it, at once or at its end"
    ECHOED = "the request is invalid, and the words that say so hold the secret"
    LOST_BEFORE = "the connection closes before anything was created"
    LOST_AFTER = "it closes after the prediction was created"
    UNREADABLE = "the prediction was created, and the answer cannot be read"
    FAILED = "it ends without an image"


@dataclass(kw_only=True)
class Subject:
    """A backend and what stands in for its service."""

    build: Callable[[BackendContext], Backend]
    instance: Mapping[str, Any]
    """The instance as it stands in a configuration; its environment variables are set."""
    created: Callable[[], int]
    """The number of predictions that the service has really created, and would bill."""
    endings: Mapping[Ending, Callable[[], object]] = field(default_factory=dict)
    """The call that makes the next job end so."""
    unreachable: Mapping[str, Any] | None = None
    """Settings with which nobody listens at the other end; None: there is no other end."""
    variable: str | None = None
    """The environment variable without which the backend is not ready."""
    secrets: tuple[str, ...] = ()
    """Values that no message may hold."""

    def backend(self, **changes: Any) -> Backend:
        """A new instance, as another process builds it."""
        return self.build(build_context({**self.instance, **changes}))

    def job(self, number: int = 0, **changes: Any) -> Job:
        """A job like no other number's."""
        return build_job(self.instance, number, **changes)


def build_context(instance: Mapping[str, Any]) -> BackendContext:
    """Build the context of an instance as it stands in a configuration."""
    return BackendContext(
        name=NAME,
        settings=BackendSettings.model_validate(dict(instance)),
        output=OutputSettings(),
        prices={},
        file="imagen.yaml",
    )


def build_job(instance: Mapping[str, Any], number: int, **changes: Any) -> Job:
    """A job of the instance; it asks for no size, no steps and no options."""
    identity = compute_job_id(f"conformance {number}", sample=0, duplicate_number=0, salt="")
    values: dict[str, Any] = {
        "job_id": identity,
        "position": number,
        "id": None,
        "line": number + 1,
        "sample": 0,
        "prompt": f"a fox, number {number}",
        "negative_prompt": None,
        "backend": NAME,
        "backend_type": instance["type"],
        "model": instance.get("model", ""),
        "width": None,
        "height": None,
        "aspect_ratio": None,
        "steps": None,
        "seed": derive_seed(identity),
        "format": "png",
        "backend_opts": {},
        "extra": {},
    }
    return Job(**{**values, **changes})
