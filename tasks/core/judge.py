"""Settings of a judge: a vision model that answers a question about each image, as a score."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_QUESTION_CHARS = 4_000
MOST_USD = 100.0
"""For one call, or a million tokens; more would be a mistake."""


def list_placeholders(question: str) -> list[str]:
    """Names of the columns that the question mentions in braces.

    Raises:
        ValueError: A brace is not closed, or holds more than a name.
    """
    found = []
    for _, name, spec, conversion in Formatter().parse(question):
        if name is None:
            continue
        # Python's own templates would also read attributes of whatever stands there.
        if not name or spec or conversion or not name.replace("_", "").replace(" ", "").replace("-", "").isalnum():
            raise ValueError(f"{{{name}}} is no column; write its name alone in the braces")
        found.append(name)
    return found


def _check_question(text: str) -> str:
    list_placeholders(text)
    return text


class JudgeSettings(BaseModel):
    """One judge."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    question: Annotated[
        str, Field(min_length=1, max_length=MOST_QUESTION_CHARS, pattern=r"\S"), AfterValidator(_check_question)
    ] = Field(description="asked about each image; {column} becomes the row's value")
    answer: Literal["yes_no", "number"] = Field("yes_no", description="number: from 0 to 10")
    base_url: str = Field(
        "https://api.openai.com/v1", pattern=r"^https?://[^\s/]+", description="with its /v1, of any such server"
    )
    model: str = Field(min_length=1, max_length=200)
    key_env: str | None = Field(
        "OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="variable with the key; null: none is needed"
    )
    price_usd: float = Field(ge=0, le=MOST_USD, description="the most that one call costs; 0 for a server of your own")
    input_million_tokens: float = Field(0.0, ge=0, le=MOST_USD, description="dollars; the cost goes by tokens then")
    output_million_tokens: float = Field(0.0, ge=0, le=MOST_USD, description="likewise")
    concurrency: int = Field(8, ge=1, le=1_000, description="calls at once at most")
    calls_per_min: float | None = Field(None, gt=0, description="null: no limit but the service's own")
    timeout_s: float = Field(120.0, gt=0, le=3_600)
    side_px: int = Field(768, ge=64, le=4_096, description="longest side of what is sent, a JPEG")
    max_tokens: int = Field(300, ge=16, le=100_000, description="of the answer")
    options: dict[str, Any] = Field(default_factory=dict, description="sent with every call as they are")
