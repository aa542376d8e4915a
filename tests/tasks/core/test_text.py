from __future__ import annotations

import pytest

from tasks.core.text import align_columns, format_count


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (12_345, "12,345 rows")])
def test_nouns_agree_with_their_number(number: int, text: str) -> None:
    """Nobody reads of 1 rows."""
    assert format_count(number, "row") == text


def test_cells_of_a_table_hold_no_control_characters() -> None:
    """A name out of a service's answer moves no cursor, and the columns still line up."""
    table = align_columns([("name", "n"), ("a\x1b[2Jb", "1"), ("\u202ec", "22")], numbers=("n",))
    assert all(line.isprintable() for line in table.split("\n"))
    assert len({len(line) for line in table.split("\n")}) == 1
