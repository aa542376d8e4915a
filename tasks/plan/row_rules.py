"""Rules of single rows while a manifest is read: each is held against the run's, and the different ones are noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from tasks.core.errors import ConfigError
from tasks.core.gates import Gates
from tasks.core.records import Problem, Prompt
from tasks.manifest.row_gates import MOST_ROW_RULES, RULE, RowGates


@dataclass
class RowRules:
    """The rules that the rows of one manifest have."""

    find_run: Callable[[], Gates]
    """Gives the rule of the run; called at the first row, when the file's own rule is known."""
    places: dict[Gates, str] = field(default_factory=dict)
    """The different rules of rows, each with the file and line where it stands first."""

    @cached_property
    def gates(self) -> RowGates:
        """The rules by row."""
        return RowGates(self.find_run())

    def check_each(self, prompts: Iterable[Prompt | Problem]) -> Iterator[Prompt | Problem]:
        """The prompts; in place of one whose rule cannot be used, what is wrong with it."""
        for prompt in prompts:
            has_rule = isinstance(prompt, Prompt) and RULE in prompt.extra
            yield self._check(prompt) if has_rule and isinstance(prompt, Prompt) else prompt

    def _check(self, prompt: Prompt) -> Prompt | Problem:
        column = next(iter(prompt.extra[RULE]))
        try:
            found = self.gates.find(prompt.extra)
        except ConfigError as exc:
            return Problem(prompt.file, prompt.line, column, str(exc))
        if found not in self.places:
            if len(self.places) == MOST_ROW_RULES:
                return Problem(
                    prompt.file,
                    prompt.line,
                    column,
                    f"is one different rule too many; rows have at most {MOST_ROW_RULES}. A condition may name a column "
                    "in place of a number, as in clip < least",
                )
            self.places[found] = f"{prompt.file}:{prompt.line}"
        return prompt
