"""`keep`, `reject` and `reroll`: which images of a batch count, as the configuration, a manifest or a run says it.

The same three keys stand in imagen.yaml, at the top of a YAML manifest, and as options of `imagen run`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tasks.core.configuration.mistakes import describe_first_mistake
from tasks.core.errors import ConfigError
from tasks.core.judge import JudgeSettings
from tasks.core.money import to_micros
from tasks.core.values import MOST_BEST, MOST_REROLLS

MOST_EXPRESSION_CHARS = 10_000
_WORD = re.compile(r"'(?:[^']|'')*'|([A-Za-z_][A-Za-z0-9_]*)")

Expression = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MOST_EXPRESSION_CHARS)]
Result = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""Name of a score's result."""


class KeepBest(BaseModel):
    """The best of each row's images."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    by: Result = Field(description="result of a score; the highest is the best")
    best: int = Field(1, ge=1, le=MOST_BEST, description="images of each row that are kept")


class Gates(BaseModel):
    """The rules together; each that is None or 0 is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    keep: KeepBest | None = None
    reject: Expression | None = None
    reroll: int = Field(0, ge=0, le=MOST_REROLLS)

    @property
    def is_set(self) -> bool:
        """True where there is any rule."""
        return self.keep is not None or self.reject is not None

    def count_wanted(self, samples: int) -> int:
        """Images of a row of so many samples that are asked for."""
        return samples if self.keep is None else min(self.keep.best, samples)


def check_gates(values: Mapping[str, Any]) -> Gates:
    """One layer of rules, as a file has it.

    Raises:
        ValueError: A value cannot be used; the message names its key.
    """
    try:
        return Gates.model_validate(dict(values))
    except ValidationError as exc:
        raise ValueError(describe_first_mistake(exc)) from None


def merge_gates(*layers: Mapping[str, Any]) -> Gates:
    """The rules of several layers; a later one wins, key by key.

    Raises:
        ConfigError: Together they are no rule.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            is_part = name == "keep" and isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
            merged[name] = {**merged[name], **value} if is_part else value
    if isinstance(keep := merged.get("keep"), Mapping) and "by" not in keep:
        raise ConfigError("--keep-best: name the score by which images are compared, as --by sharpness")
    try:
        gates = check_gates(merged)
    except ValueError as exc:
        raise ConfigError(str(exc)) from None
    if gates.reroll and gates.reject is None:
        raise ConfigError("reroll: rejected images are made again, so it needs reject (--reject)")
    return gates


def build_option_layer(
    *, best: int | None = None, by: str | None = None, reject: str | None = None, rerolls: int | None = None
) -> dict[str, Any]:
    """The layer of a command's options; None: not given."""
    keep = {name: value for name, value in (("best", best), ("by", by)) if value is not None}
    given = {"keep": keep or None, "reject": reject, "reroll": rerolls}
    return {name: value for name, value in given.items() if value is not None}


def dump_layer(gates: Gates) -> dict[str, Any]:
    """The rules as a layer; what is not set is left to the layers before."""
    return gates.model_dump(exclude_defaults=True)


def list_words(expression: str) -> list[str]:
    """Everything in the expression that may be a name, in lower case; its texts are skipped."""
    return [word.lower() for word in _WORD.findall(expression) if word]


def find_score(result: str, known: Iterable[str]) -> str | None:
    """The score that gives this result, by its name; None where it is none's."""
    found = [name for name in known if result == name or result.startswith(f"{name}_")]
    return max(found, key=len, default=None)


def list_judge_prices(gates: Gates, judges: Mapping[str, JudgeSettings]) -> dict[str, int]:
    """The most that each judge of one image costs, in millionths of a dollar."""
    # Asked for each job of a plan, and most have no judges.
    return {name: to_micros(judges[name].price_usd) or 0 for name in list_judges(gates, judges)} if judges else {}


def sum_judge_prices(gates: Gates, judges: Mapping[str, JudgeSettings]) -> int:
    """The most that the judges of one image cost, in millionths of a dollar."""
    return sum(list_judge_prices(gates, judges).values())


def list_judges(gates: Gates, judges: Iterable[str]) -> list[str]:
    """Those of the judges whose answers the rule mentions."""
    words = [*list_words(gates.reject or ""), *(() if gates.keep is None else (gates.keep.by,))]
    names = list(judges)
    return list(dict.fromkeys(name for word in words if (name := find_score(word, names))))
