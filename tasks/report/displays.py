"""The displays that write: a bar that stays in place for terminals, plain lines for logs and pipes, alerts alone for `--quiet`."""

from __future__ import annotations

import os
import re
from typing import IO, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.text import Text

from tasks.core.display import Display, ProgressSnapshot, describe_progress, describe_slowdown, list_progress
from tasks.core.safe_text import escape_control_characters
from tasks.core.text import format_count

# Seconds between lines: a log of a night stays readable, and still shows that the run is alive.
LINE_EVERY_S = 10.0
_COUNTER = re.compile(r" \(\d+ s\)$")
"""A wait that counts its seconds is one line in a log."""


def choose_display(console: Console) -> LineDisplay | LiveDisplay:
    """The display that fits: a terminal can be drawn on, anything else gets lines.

    The stream is asked, not rich: FORCE_COLOR makes rich take a log for a terminal, and it would be full of spinners.
    """
    return LiveDisplay(console) if can_move(console) else LineDisplay(console)


def can_move(console: Console) -> bool:
    """True where lines can be drawn over."""
    try:
        # A terminal without cursor movement would show each state of the bar below the last one.
        return console.file.isatty() and not console.is_dumb_terminal
    except (AttributeError, ValueError):  # no stream, or a closed one
        return False


def open_lasting_console(stream: TextIO | None) -> Console:
    """A console on a stream that may end before the run does: a log's reader that goes, a terminal that is closed."""
    return Console(stderr=True) if stream is None else Console(file=cast(IO[str], _Lasting(stream)))


class _Lasting:
    """A console's stream. Once it takes nothing any more, nobody looks on, and the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding
        self.isatty = stream.isatty
        self.fileno = stream.fileno

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        # The reader of a pipe has gone, or the terminal was closed: the run is worth more than its lines.
        except OSError:
            return self._give_up()

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> int:
        """Let what is buffered, and all that comes, go nowhere: the interpreter flushes it once more when it ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        return 0


class QuietDisplay(Display):
    """Shows nothing but promises about money that do not hold."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self._console = console

    def alert(self, text: str) -> None:
        """See `Display.alert`."""
        _print_line(self._console, escape_control_characters(f"warning: {text}"))


class LineDisplay(Display):
    """Plain lines: one for each phase, one every ten seconds, one at the end."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self._console = console
        self._phase = ""
        self._next_line_at_s = LINE_EVERY_S
        self._last: str | None = None

    def phase(self, text: str) -> None:
        """See `Display.phase`."""
        self.finish()
        if (phase := _COUNTER.sub("", text)) != self._phase:
            self._phase = phase
            self._print(phase)

    def warn(self, text: str) -> None:
        """See `Display.warn`."""
        self.note(f"warning: {text}")

    def note(self, text: str) -> None:
        """See `Display.note`."""
        self.finish()
        # A note may quote a service or a file, and the terminal acts on what it is sent.
        self._print(escape_control_characters(text))

    def start(self, left: int) -> None:
        """See `Display.start`."""
        self.phase(f"generating {format_count(left, 'image')}")

    def update(self, standing: ProgressSnapshot, elapsed_s: float) -> None:
        """See `Display.update`."""
        self._last = f"{standing.done}/{standing.total} done, {describe_progress(standing)}"
        if elapsed_s >= self._next_line_at_s:
            self._next_line_at_s = elapsed_s + LINE_EVERY_S
            self.finish()

    def finish(self) -> None:
        """See `Display.finish`."""
        if self._last is not None:
            self._print(self._last)
            self._last = None

    def _print(self, text: str) -> None:
        _print_line(self._console, text)


def _print_line(console: Console, text: str) -> None:
    # Soft wrap: a log line that is broken at 80 columns cannot be searched.
    console.print(text, highlight=False, markup=False, soft_wrap=True)


class LiveDisplay(Display):
    """A bar, and a line of facts below it."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`."""
        self._console = console
        self._status = console.status("")
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn("{task.percentage:>3.0f}%", show_speed=False),
            MofNCompleteColumn(),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("generating", total=None)
        self._standing: ProgressSnapshot | None = None
        # Transient, so that the finished bar makes room for the result; eight times a second is smooth and costs
        # little.
        self._live = Live(get_renderable=self._image, console=console, transient=True, refresh_per_second=8)

    def phase(self, text: str) -> None:
        """See `Display.phase`."""
        # rich draws one live thing at a time, and the status line is one.
        self._live.stop()
        self._status.update(Text(text))
        self._status.start()

    def warn(self, text: str) -> None:
        """See `Display.warn`."""
        self._console.print(Text(f"warning: {escape_control_characters(text)}", style="yellow"))

    def note(self, text: str) -> None:
        """See `Display.note`."""
        self._console.print(Text(escape_control_characters(text)))

    def start(self, left: int) -> None:
        """See `Display.start`."""
        self._status.stop()
        self._bar.update(self._task, total=left)
        self._live.start()

    def update(self, standing: ProgressSnapshot, elapsed_s: float) -> None:
        """See `Display.update`."""
        self._standing = standing
        word = "finishing" if standing.draining else "generating"
        self._bar.update(self._task, completed=standing.done, total=standing.total, description=word)

    def finish(self) -> None:
        """See `Display.finish`."""
        self._status.stop()
        self._live.stop()

    def _image(self) -> RenderableType:
        return Group(self._bar, *([] if self._standing is None else _build_lines(self._standing)))


def _build_lines(standing: ProgressSnapshot) -> list[Text]:
    """Build the lines, cut to a narrow terminal's width so that the display keeps its height."""
    line = Text("  ", overflow="ellipsis", no_wrap=True)
    line.append(f"{standing.failed} failed", style="bold red" if standing.failed else "")
    line.append(", " + ", ".join(list_progress(standing)))
    held_back = describe_slowdown(standing)
    return [line, *(Text(f"  {text}", style="yellow", overflow="ellipsis", no_wrap=True) for text in held_back)]
