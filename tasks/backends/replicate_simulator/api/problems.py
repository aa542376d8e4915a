"""The API's error answers: status, title, words, as they were captured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.core.errors import PortableError


@dataclass(frozen=True, slots=True)
class InvalidField:
    """One thing that is wrong with a body."""

    type: str
    """As gojsonschema names it, which the API uses."""
    field: str
    """`input`, `input.seed`, or empty for the body itself."""
    description: str

    @property
    def line(self) -> str:
        """The problem as a line of the answer's detail."""
        return f"- {self.field}: {self.description}\n" if self.field else f"- {self.description}\n"


@dataclass(eq=False)
class Problem(PortableError):
    """Raised to answer a request with an error."""

    status: int
    detail: str
    title: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        title = {"title": self.title} if self.title else {}
        return {**title, "detail": self.detail, "status": self.status, **self.extra}


# Captured answers (replicate-python's test recordings, logs of other clients; read 2026-11).


def build_unauthenticated() -> Problem:
    """The token is not accepted."""
    return Problem(401, "You did not pass a valid authentication token", "Unauthenticated")


def build_insufficient_credit() -> Problem:
    """The account is empty."""
    return Problem(
        402,
        "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to purchase "
        "credit. Once you purchase credit, please wait a few minutes before trying again.",
        "Insufficient credit",
    )


def build_not_found() -> Problem:
    """No such model, prediction or page."""
    return Problem(404, "The requested resource could not be found.")


def build_invalid_version() -> Problem:
    """A version that does not exist."""
    return Problem(
        422,
        "The specified version does not exist (or perhaps you don't have permission to use it?)",
        "Invalid version or not permitted",
    )


def build_invalid_input(fields: Sequence[InvalidField]) -> Problem:
    """Everything that is wrong with a body, at once."""
    listed = [{"type": item.type, "field": item.field, "description": item.description} for item in fields]
    return Problem(422, "".join(item.line for item in fields), "Input validation failed", {"invalid_fields": listed})


def build_internal_error() -> Problem:
    """The service's own failure."""
    return Problem(500, "Internal server error")
