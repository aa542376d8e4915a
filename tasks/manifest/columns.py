"""The columns of a row: which are used, which are carried along, and which the user has to be asked about.

No column is dropped in silence. A name that looks like a column of ours, or is a setting of another tool, is a
problem until the user renames it, gives it a meaning (`columns:`), or leaves it out (`--ignore-columns`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from tasks.core.records import Problem
from tasks.manifest.header import explain_lack
from tasks.manifest.meanings import ALSO, ASK, OWN_MEANINGS, find_meanings, get_listed_meaning
from tasks.manifest.named_columns import list_found
from tasks.manifest.names import NAMES, fold_name, has_column
from tasks.manifest.reading import IGNORE, MOST_LISTED, OPTION, Findings, ReadOptions

NULL_WORDS = frozenset(
    {"nan", "-nan", "none", "null", "nil", "na", "n/a", "<na>", "#n/a", "#na", "nat", "(null)", "\\n", "1.#qnan"}
)
"""Ways in which pandas, R, databases and spreadsheets write that there is no value."""
MOST_LAYOUTS = 256
"""Sets of names that are remembered; rows with keys of their own each would fill the memory."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as a format gives it: cells by the names that stand in the file."""

    line: int
    cells: Mapping[str, Any]
    cell_lines: Mapping[str, int] = field(default_factory=dict)
    """Lines of single cells, where the format spreads a row over several."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Cells for columns that the row does not give."""
    is_table: bool = False
    """From a table of texts, where a missing value is a word such as `NaN`."""
    confirmed: frozenset[str] = frozenset()
    """Names whose values are used in the row's texts already."""


@dataclass(slots=True)
class Cells:
    """A row's cells, sorted."""

    known: dict[str, Any] = field(default_factory=dict)
    """By column; cells that give nothing are left out, except the prompt's."""
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    spelled: Mapping[str, str] = field(default_factory=dict)
    """The name in the file of each known column."""


class ColumnSorter:
    """Sorts the cells of one manifest's rows, and asks once about each name that needs an answer."""

    def __init__(self, options: ReadOptions, findings: Findings) -> None:
        """Sort as `options` say; what becomes of each column is noted in `findings`."""
        self.options = options
        self.findings = findings
        self._layouts: dict[tuple[str, ...], dict[str, str]] = {}
        self._questions: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        self._met_prompts = False

    def sort(self, cells: Mapping[str, Any]) -> Cells:
        """The cells by what their columns mean."""
        # Worked out once for rows with the same names: a million rows share one layout.
        meanings = self._layout(tuple(cells))
        sorted_cells = Cells(spelled={meaning: name for name, meaning in meanings.items() if meaning in NAMES})
        seconds: dict[str, Any] = {}
        for name, meaning in meanings.items():
            value = cells[name]
            if meaning in NAMES or meaning in OWN_MEANINGS.values():
                # An empty prompt is kept, because it is an error and not a default.
                if meaning == "prompt" or not is_missing(value):
                    sorted_cells.known[meaning] = value
                if meaning == "model":  # checked against the backend, and kept beside the image
                    sorted_cells.extra[name] = value
            elif meaning.startswith(ALSO):
                if not is_missing(value):
                    seconds[meaning.partition(":")[2]] = value
            elif meaning.startswith(OPTION):
                if not is_missing(value):
                    sorted_cells.options[meaning.partition(":")[2]] = value
            elif not meaning.startswith(IGNORE):
                sorted_cells.extra[name] = None if _is_nan(value) else value
        # The first name of a column wins; a second one fills what it leaves empty.
        sorted_cells.known = {**seconds, **sorted_cells.known}
        return sorted_cells

    def is_given(self, name: str) -> bool:
        """True if the user says what the column of this name means."""
        return fold_name(name) in self.options.columns or fold_name(name) in self.findings.columns

    def list_options(self, names: Iterable[str]) -> None:
        """List the settings that stood inside of a request."""
        for name in names:
            if name not in self.findings.used:
                self.findings.note_column(name, f"{OPTION}:{name}")

    def find_questions(self, row: RawRow, cells: Mapping[str, Any], file: str) -> list[Problem]:
        """Problems for the columns that must be confirmed; each name is asked about once."""
        problems: list[Problem] = []
        names = tuple(cells)
        layout = self._layout(names)
        for name, meaning in self._questions[names]:
            # A column that gives nothing changes nothing, so nobody has to answer for it.
            if is_missing(cells[name]) or name in row.confirmed:
                continue
            kind, _, detail = meaning.partition(":")
            if kind == ALSO:
                first = next(other for other, its_meaning in layout.items() if its_meaning == detail)
                # Both say the same, as exports of some tools do.
                if is_missing(cells[first]) or str(cells[first]) == str(cells[name]):
                    continue
                detail = f"means {detail}, as the column {first!r} does, and says something else"
            # Once for the file: a question for each of a million rows would hide the others.
            if fold_name(name) not in self.findings.asked:
                self.findings.asked.add(fold_name(name))
                line = row.cell_lines.get(name, row.line)
                problems.append(Problem(file, line, name, _ask(name, detail)))
        return problems

    def find_lack(self, row: RawRow, cells: Mapping[str, Any], file: str) -> list[Problem] | None:
        """Explain, once for all rows with these names, that no column holds a prompt; None where one does."""
        wanted = self.options.prompt_column
        if wanted is not None:
            # Another column called prompt does not stand in for the one that the user names.
            if has_column((*cells, *row.defaults), wanted):
                self._met_prompts = True
                return None
        elif any("prompt" in self._layout(tuple(part)).values() for part in (cells, row.defaults)):
            return None
        # A name that no row has is one problem of the file; one that some rows lack is a problem of these.
        of_file = wanted is not None and not self._met_prompts
        key = f"no {wanted} in {file}" if of_file else f"no prompt in {tuple(cells)} of {file}"
        if key in self.findings.asked or len(self.findings.asked) >= MOST_LISTED:
            return []
        self.findings.asked.add(key)
        names = (*cells, *row.defaults)
        if wanted is not None and not of_file:
            message = f"--prompt-column: this row has no {wanted!r}, as others have. {list_found(names)}"
            return [Problem(file, row.line, None, message)]
        return [explain_lack(names, file, row.line, wanted)]

    def _layout(self, names: tuple[str, ...]) -> dict[str, str]:
        """Map each name of a row to its meaning; rows of one file mostly share it."""
        if (known := self._layouts.get(names)) is not None:
            return known
        own = self.findings.columns
        if self.options.prompt_column is not None:
            # One column holds the prompts, whatever the file says.
            own = {name: meaning for name, meaning in own.items() if meaning != "prompt"}
        meanings = find_meanings(names, {**own, **self.options.columns})
        if len(self._layouts) >= MOST_LAYOUTS:
            self._layouts.clear()
            self._questions.clear()
        self._layouts[names] = meanings
        self._questions[names] = [item for item in meanings.items() if item[1].startswith((f"{ASK}:", f"{ALSO}:"))]
        for name, meaning in meanings.items():
            self.findings.note_column(name, get_listed_meaning(meaning))
        return meanings


def _ask(name: str, reason: str) -> str:
    return (
        f"This column {reason}. Rename it, leave it out with --ignore-columns {shlex.quote(name.lstrip('-'))}, "
        f"or say under `columns:` what it means (a column's name, option, carry)"
    )


def is_missing(value: Any) -> bool:
    """True if a cell gives nothing: null, NaN, an empty text, or a word for a missing value."""
    if isinstance(value, str):
        # The length first: most cells are prompts, and stripping each would cost more than all the rest.
        return not value or (len(value) < 12 and value.strip().casefold() in NULL_WORDS)  # noqa: PLR2004  longer than any
    return value is None or _is_nan(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and isnan(value)
