"""A batch's summary where people read it: between two rules on a terminal, as plain lines in a pipe.

Nothing is framed at the sides and no line is broken, so a command can be copied from the screen as it is.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from tasks.core.safe_text import escape_control_characters
from tasks.report.next_steps import format_errors
from tasks.report.summary import (
    find_remarks,
    format_counts,
    format_place,
    format_summary,
    get_exit_code,
    list_next_steps,
)


def print_summary(console: Console, record: dict[str, Any]) -> None:
    """Print the record."""
    if not console.is_terminal:
        _print(console, [Text(line) for line in format_summary(record)])
        return
    colour = "green" if get_exit_code(record) == 0 else "yellow"
    console.print(Rule(Text(escape_control_characters(record["batch"])), align="left", style=colour, characters="─"))
    _print(console, _build_body(record))
    console.print(Rule(style=colour, characters="─"))


def _build_body(record: dict[str, Any]) -> list[Text]:
    errors = [Text(line, style="red") for line in format_errors(record)]
    speed = f"{record['wall_s']:,.1f} s, {record['images_per_s']:,.1f} images/s"
    return [
        Text(format_counts(record), style="bold"),
        *errors,
        *([Text(speed, style="dim")] if record["images_per_s"] else []),
        *(Text(remark, style="yellow") for remark in find_remarks(record)),
        Text(format_place(record)),
        *(line for step in list_next_steps(record) for line in _format_step(*step)),
    ]


def _format_step(why: str, command: str) -> list[Text]:
    return [Text(f"{why}:"), Text(f"  {command}", style="bold cyan")]


def _print(console: Console, lines: list[Text]) -> None:
    for line in lines:
        # Kinds, ids and names can come out of a ledger that somebody else wrote.
        console.print(Text(escape_control_characters(line.plain), style=line.style), soft_wrap=True)
