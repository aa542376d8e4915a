"""Columns that the user names, by an option or in `columns:`, and that no row has: none of them is passed over in silence.

A file or row without the column of `--prompt-column` is a problem where it stands. A column to leave out may be missing
by right, as in one night's file of many; a name that is nearly that of another column is refused, for what it was to
leave out would be used and paid for. Names of `columns:` may be those of other manifests, and are only told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches

from tasks.core.records import Problem
from tasks.manifest.names import fold_name, holds_prompts

NAMES_SHOWN = 20
LONGEST_COMPARED = 100
"""Letters of a name. Comparing two takes as many steps as their product, and a cell may be taken for a name."""
_NEAR = 0.75
"""Share of letters in common; less finds relatives between any two short words."""


class UnmetNames:
    """Names that the user gave, until a row has them."""

    def __init__(self) -> None:
        """Nothing is waited for."""
        self._left_out: dict[str, str] = {}
        self._configured: dict[str, str] = {}
        self._own: dict[str, dict[str, str]] = {}
        self._file = ""

    def expect(self, left_out: Iterable[str], configured: Iterable[str]) -> None:
        """Wait for the names of the command line and of the configuration, in any file."""
        self._left_out = _fold(left_out)
        # Left out by the command line, it has no meaning of the configuration any more.
        self._configured = {folded: name for folded, name in _fold(configured).items() if folded not in self._left_out}

    def begin_file(self, file: str) -> None:
        """Rows of another file follow."""
        self._file = file

    def expect_own(self, names: Iterable[str]) -> None:
        """Wait for the names of the file's own `columns`, in this file."""
        self._own[self._file] = _fold(names)

    def meet(self, name: str) -> None:
        """A row of the file has this column."""
        folded = fold_name(name)
        for names in (self._left_out, self._configured, self._own.get(self._file, {})):
            names.pop(folded, None)

    def find_problems(self, file: str, found: Collection[str]) -> Iterator[Problem]:
        """Names to leave out that are nearly those of a column of the manifest."""
        for name in self._left_out.values():
            if (near := find_near_name(name, found)) is not None:
                yield Problem(
                    file,
                    None,
                    None,
                    f"--ignore-columns: no column is called {name!r}; did you mean {near!r}? "
                    f"Correct the name or leave it out. {list_found(found)}",
                )

    def describe(self, file: str, found: Collection[str]) -> Iterator[str]:
        """Sentences for people about the names that are only told."""
        absent = [name for name in self._left_out.values() if find_near_name(name, found) is None]
        if absent:
            yield f"{file}: --ignore-columns: no column is called {_list_names(absent, ())}. {list_found(found)}"
        if self._configured:
            names = _list_names(self._configured.values(), found)
            yield f"{file}: `columns:` of the configuration: no column here is called {names}"
        for own_file, own in self._own.items():
            if own:
                yield f"{own_file}: its `columns:`: no row has {_list_names(own.values(), found)}"


def explain_unmet_prompt(name: str, found: Collection[str]) -> str:
    """Tell that there is no column of the name that `--prompt-column` gives."""
    near = find_near_name(name, found)
    hint = "." if near is None else f"; did you mean {near!r}?"
    other = ", or leave the option out" if holds_prompts(found) else ""
    return f"--prompt-column: no column is called {name!r}{hint} Give one that there is{other}. {list_found(found)}"


def find_near_name(name: str, found: Iterable[str]) -> str | None:
    """The column that a misspelt name most likely means."""
    by_folded = {fold_name(column)[:LONGEST_COMPARED]: column for column in found}
    near = get_close_matches(fold_name(name)[:LONGEST_COMPARED], by_folded, 1, _NEAR)
    return by_folded[near[0]] if near else None


def list_found(found: Collection[str]) -> str:
    """The columns that there are, as the end of a message."""
    names = [name for name in found if name]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"Found: {', '.join(names[:NAMES_SHOWN])}{more}" if names else "Found: none"


def _fold(names: Iterable[str]) -> dict[str, str]:
    return {fold_name(name): name for name in names}


def _list_names(names: Iterable[str], found: Collection[str]) -> str:
    shown = []
    for name in names:
        near = find_near_name(name, found)
        shown.append(repr(name) if near is None else f"{name!r} (near: {near!r})")
    more = f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
    return ", ".join(shown[:NAMES_SHOWN]) + more
