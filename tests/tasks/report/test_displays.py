"""What a person sees: on terminals of 80 and 120 columns, in a log, and without colours."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tasks.core.records import Counts
from tasks.report.displays import LineDisplay, LiveDisplay, choose_display, open_lasting_console
from tasks.report.summary import Summary, format_place, list_next_steps
from tasks.report.summary_screen import print_summary
from tasks.store.output.folder import OutputFolder
from tests.tasks.core.test_display import HALFWAY

EMPTY = Summary(
    out=OutputFolder(Path("out")),
    counts=Counts(),
    run=None,
    alive=False,
    wall_s=0,
    generated=None,
    usage_pushed=0,
    usage_pending=0,
    last_activity_us=None,
)
RECORD: dict[str, Any] = EMPTY.as_dict() | {
    "batch": "狐",
    "total": 10,
    "planned": 2,
    "submitting": 0,
    "submitted": 0,
    "succeeded": 5,
    "failed": 2,
    "held": 1,
    "rerouted": 0,
    "unwanted": 0,
    "images": 5,
    "generated": 5,
    "cost_usd": 0.05,
    "cost_unknown": 1,
    "wall_s": 10.0,
    "images_per_s": 0.5,
    "errors": {"moderation": 2, "ambiguous": 1},
    "missing": 0,
    "picked": 0,
    "rejected": 0,
    "resized": 0,
    "resized_example": None,
    "reasons": {
        "moderation": {"job": "fox", "state": "failed", "message": "the prompt was flagged"},
        "ambiguous": {"job": "0a1b2c3d4e5f", "state": "held", "message": "no answer\x1b[2J came"},
    },
    "outcome": "stopped: no credit",
    "warning": None,
    "out": "runs/" + "a long name " * 12,
}


def terminal(width: int = 80, **options: Any) -> Console:
    """A terminal whose screen can be read."""
    return Console(file=io.StringIO(), width=width, force_terminal=True, **options)


def screen(console: Console) -> str:
    """What was written so far."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_live_image_keeps_its_lines_at_any_width(width: int) -> None:
    """The bar and the facts are a line each, the throttle a third one; nothing wraps."""
    console = terminal(width, color_system=None)
    display = LiveDisplay(console)
    display.update(replace(HALFWAY, slowed_to_per_min=320.0, pause_s=12.0, cost_unknown=5), 40.0)
    with console.capture() as captured:
        console.print(display._image())
    lines = captured.get().rstrip("\n").split("\n")
    assert len(lines) == 3
    assert all(cell_len(line) <= width for line in lines)
    assert "400/1000" in lines[0]
    assert "3 failed" in lines[1]
    assert "slowed to 320/min" in lines[2]


def test_a_log_gets_a_line_every_ten_seconds() -> None:
    """One for each phase, whose counted seconds are not repeated; the last standing is always told."""
    console = Console(file=io.StringIO(), width=20)
    display = choose_display(console)
    assert isinstance(display, LineDisplay)
    for second in range(3):
        display.phase(f"starting Prefect's server ({second} s)")
    display.start(1_000)
    for second in range(25):
        display.update(replace(HALFWAY, done=second), float(second))
    display.finish()
    lines = screen(console).splitlines()
    assert lines[:2] == ["starting Prefect's server", "generating 1,000 images"]
    assert [line.split("/")[0] for line in lines[2:]] == ["10", "20", "24"]
    assert "\x1b" not in screen(console)


def test_commands_of_the_summary_can_be_copied() -> None:
    """The very command on a line of its own: quoted for the shell, never broken, nothing before or after it."""
    console = terminal(80, color_system=None)
    print_summary(console, RECORD)
    lines = screen(console).splitlines()
    folder = f"'{RECORD['out']}'"
    for command in (
        f"imagen resume {folder}",
        f"imagen resume {folder} --retry-held",
        f'imagen reroll {folder} --id fox --prompt "..."',
    ):
        assert f"  {command}" in lines
    assert "5 of 10 images; 2 failed, 1 held, 2 to do; $0.05 and 1 of unknown cost" in lines
    assert "stopped: no credit" in lines
    assert "  2 x moderation, such as fox: the prompt was flagged" in lines
    assert not any("--retry-failed" in line for line in lines), "moderation comes back with the same prompt"


def test_a_pipe_gets_plain_lines() -> None:
    """The same words, without rules, colours or line breaks."""
    console = Console(file=io.StringIO(), width=20)
    print_summary(console, RECORD)
    assert "─" not in screen(console)
    assert f"to go on: imagen resume '{RECORD['out']}'" in screen(console).splitlines()


def test_no_colours_where_the_user_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR leaves a terminal its layout and takes the colours."""
    colours = ("\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[1;36m")
    plain, coloured = [], terminal(color_system="standard")
    print_summary(coloured, RECORD)
    monkeypatch.setenv("NO_COLOR", "1")
    without = terminal(color_system="standard")
    print_summary(without, RECORD)
    plain = [colour for colour in colours if colour in screen(without)]
    assert plain == []
    assert [colour for colour in colours if colour in screen(coloured)]


def test_a_reader_who_goes_away_ends_no_run() -> None:
    """`imagen run ... 2>&1 | head`: what cannot be shown any more is not shown, and the paid work goes on."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream:
        display = choose_display(open_lasting_console(stream))
        display.phase("reading the manifest")
        display.start(1_000)
        display.update(HALFWAY, 12.0)
        display.finish()
        assert os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))  # noqa: PTH116


@pytest.mark.parametrize(
    ("change", "command"),
    [
        ({"errors": {"transient": 1, "moderation": 1}, "held": 0}, "imagen resume o --only transient"),
        ({"errors": {"transient": 2}, "held": 0}, "imagen resume o --retry-failed"),
        ({"outcome": "stopped: the budget of $5.00 does not cover the next image"}, "imagen resume o --budget USD"),
        ({"outcome": "stopped: no credit"}, "imagen resume o"),
        ({"errors": {"unreadable_answer": 2}, "held": 0}, "imagen resume o --reread"),
        ({"errors": {"unreadable_answer": 1, "transient": 1}, "held": 0}, "imagen resume o --only transient"),
    ],
)
def test_a_next_step_never_leads_to_the_same_stop(change: dict[str, Any], command: str) -> None:
    """One command for each kind of error; a budget that is used up has to be raised."""
    steps = [step for _, step in list_next_steps(RECORD | {"out": "o", "reasons": {}} | change)]
    assert command in steps
    assert command == "imagen resume o --retry-failed" or "imagen resume o --retry-failed" not in steps


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, "images and metadata.parquet are in o"),
        ({"outcome": "killed"}, "images are in o"),
        ({"outcome": "running"}, "images are in o"),
        ({"images": 0}, "the batch is in o"),
    ],
)
def test_files_that_do_not_exist_are_not_named(change: dict[str, Any], place: str) -> None:
    """The table is written at the end of a run."""
    assert format_place(RECORD | {"out": "o"} | change) == place


def test_jobs_of_a_dead_worker_say_how_long_they_wait() -> None:
    """They count as in flight, and without a word the batch would seem to hang for minutes."""
    display = LineDisplay(Console(file=io.StringIO(), width=200))
    display.update(replace(HALFWAY, silent_jobs=12, silent_left_s=85.4), 40.0)
    display.finish()
    assert "12 jobs of a worker without a sign of life free in 85 s" in screen(display._console)
