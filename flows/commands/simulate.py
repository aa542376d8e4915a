"""`imagen simulate`: Replicate's API on this machine, to rehearse a batch and its faults for nothing."""

from __future__ import annotations

from inspect import cleandoc
from textwrap import wrap
from typing import Annotated

import typer

from flows.cli_support import completion
from flows.cli_support.values import in_range
from tasks.backends.replicate_simulator.faults import list_faults

MOST_PORT = 65_535
HELP_COLUMNS = 76
MOST_LATENCY_S = 86_400
"""A day. No client waits longer, and a prediction that never ends is the fault `stuck_starting`."""

Port = Annotated[
    int,
    typer.Option("--port", metavar="N", help="Port of the API. 0 takes a free one.", callback=in_range(0, MOST_PORT)),
]
Fault = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="NAME[:NUMBER]",
        help="A fault of the list above. Give the option once for each.",
        autocompletion=completion.complete_faults,
    ),
]
Latency = Annotated[
    float,
    typer.Option(
        "--latency", metavar="SECONDS", help="Mean duration of a prediction.", callback=in_range(0, MOST_LATENCY_S)
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", help="The same seed and the same requests meet the same faults.")
]


def command(port: Port = 8765, fault: Fault = None, latency: Latency = 1.0, seed: Seed = 0) -> None:
    """Serve Replicate's API on this machine, to rehearse a paid batch for nothing.

    Ctrl-C ends it, and it shows what was really created and billed.

    Example: imagen simulate --fault drop_after_create:0.1
    """
    from tasks.backends.replicate_simulator.rehearsal import rehearse

    def say(text: str) -> None:
        print(text, flush=True)

    say(rehearse(port=port, faults=fault or [], latency_s=latency, seed=seed, say=say))


def _list_faults() -> list[str]:
    """The table of faults, for a terminal of 80 columns."""
    lines = list_faults()
    indent = " " * lines[0].index("shows")
    return [part for line in lines for part in wrap(line, HELP_COLUMNS, subsequent_indent=indent)]


# After the mark \b, help shows lines as they are.
command.__doc__ = f"{cleandoc(command.__doc__ or '')}\n\n\b\n" + "\n".join(_list_faults())
