"""Settings of the type `http` by which an answer is told from a refusal, a failure, a limit and an empty account."""

from __future__ import annotations

from pydantic import Field

from tasks.backends.http_api.places import Place
from tasks.backends.http_api.sections import Condition, Section


class Verdicts(Section):
    """The meaning of a service's words and values."""

    error: Place | None = Field(None, description="where an answer says what went wrong")
    moderation: list[str] = Field(default_factory=list, description="parts of such words that mean a refused prompt")
    passing: list[str] = Field(default_factory=list, description="parts of such words that mean a passing failure")
    quota: list[str] = Field(
        default_factory=list, description="parts of such words that mean an empty account or a day's quota"
    )
    quota_when: list[Condition] = Field(
        default_factory=list, description="values of a 4xx that mean an empty account or a day's quota"
    )
    refused_when: list[Condition] = Field(
        default_factory=list, description="values of an answer that mean a refused prompt"
    )
    throttled_when: list[Condition] = Field(
        default_factory=list, description="values of an answer to create that mean too many at once, as a 429 does"
    )
    failed_when: list[Condition] = Field(default_factory=list, description="values of an answer that mean a failure")
    refusals_are_billed: bool | None = Field(None, description="whether a refused prompt is billed; null: nobody knows")
    failures_are_free: bool = Field(False, description="one that failed is not billed, so it may be tried again")
