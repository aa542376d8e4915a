"""Templates: one row with placeholders, times every combination of a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from string import Formatter
from typing import Any

from tasks.manifest.names import is_column

SCALARS = (str, int, float, bool)
MOST_COMBINATIONS = 10_000_000
"""Of one template; ten lists of a hundred values would never end."""


class TemplateProblem(Exception):
    """A template or matrix that cannot be expanded."""


def expand_template(template: Mapping[str, Any], matrix: Any) -> Iterator[dict[str, Any]]:
    """One row for each combination, the last key of the matrix fastest.

    Values of the combination replace `{key}` in the template's texts; a text that is nothing but `{key}`
    becomes the value itself. The combination is carried in the row as well: as a column where a key is one
    (`width`), else as an extra column.

    Raises:
        TemplateProblem: A placeholder without values, a key without use, values that are no list of scalars, or more
            than `MOST_COMBINATIONS`.
    """
    if not isinstance(matrix, dict):
        raise TemplateProblem("the matrix is not a set of named lists")
    lists = {str(key): _check_values(key, values) for key, values in matrix.items()}
    used = _find_placeholders(template)
    if unknown := sorted(used - lists.keys()):
        raise TemplateProblem(f"{{{unknown[0]}}} has no values in the matrix; write {{{{ and }}}} for plain braces")
    # Each value of an unused key would pay for the same images again.
    if unused := [key for key in lists if key not in used and not is_column(key)]:
        raise TemplateProblem(f"{unused[0]} of the matrix is not used; write {{{unused[0]}}} in the template")
    if (combinations := prod(map(len, lists.values()))) > MOST_COMBINATIONS:
        raise TemplateProblem(f"the matrix has {combinations:,} combinations; at most {MOST_COMBINATIONS:,} are made")
    # One at a time: a matrix of a few lists is soon a million rows.
    for values in product(*lists.values()):
        combination = dict(zip(lists, values, strict=True))
        yield {**combination, **{name: _fill(value, combination) for name, value in template.items()}}


def _check_values(key: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise TemplateProblem(f"{key} of the matrix needs a list of values")
    if odd := [value for value in values if not isinstance(value, SCALARS)]:
        raise TemplateProblem(f"{key} of the matrix holds {odd[0]!r}; its values are texts or numbers")
    return values


def _find_placeholders(value: Any) -> set[str]:
    if isinstance(value, str):
        try:
            fields = [field[1:] for field in Formatter().parse(value) if field[1] is not None]
        except ValueError:
            raise TemplateProblem(f"{value!r} has a single brace; write {{{{ and }}}} for plain braces") from None
        if formatted := [name for name, spec, conversion in fields if spec or conversion]:
            plain = f"{{{formatted[0]}}}"
            raise TemplateProblem(f"{plain} stands with a format in {value!r}; only {plain} itself is filled in")
        return {str(name) for name, _, _ in fields}
    if isinstance(value, dict):
        return set().union(*(_find_placeholders(part) for part in value.values()))
    if isinstance(value, list):
        return set().union(*(_find_placeholders(part) for part in value))
    return set()


def _fill(value: Any, combination: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _fill(part, combination) for name, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, combination) for part in value]
    if not isinstance(value, str):
        return value
    parts = list(Formatter().parse(value))
    if len(parts) == 1 and not parts[0][0] and parts[0][1] is not None:
        # Not as text: a `{width}` alone stays a number.
        return combination[parts[0][1]]
    return "".join(text + ("" if name is None else str(combination[name])) for text, name, _, _ in parts)
