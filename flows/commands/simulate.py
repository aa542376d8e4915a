"""`imagen simulate`: Replicate's API on this machine, to rehearse a batch and its faults for nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from tasks.backends.replicate_simulator.faults import fault_lines

NAME = "simulate"

Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port of the API; 0 takes a free one.")]
Fault = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="NAME[:NUMBER]", help="What goes wrong, see above; once for each fault."),
]
Latency = Annotated[float, typer.Option("--latency", min=0, help="Seconds that a prediction takes on the average.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed and the same requests meet the same faults.")]


def command(port: Port = 8765, fault: Fault = None, latency: Latency = 1.0, seed: Seed = 0) -> None:
    """Simulate Replicate's API until Ctrl-C, then show what was really created and billed."""
    from tasks.backends.replicate_simulator.rehearsal import rehearse

    def say(text: str) -> None:
        print(text, flush=True)

    say(rehearse(port=port, faults=fault or [], latency_s=latency, seed=seed, say=say))


# The help lists the faults from their one table; after the mark, lines are shown as they are.
command.__doc__ = f"{command.__doc__}\n\n\b\n" + "\n".join(fault_lines())
