"""A simulator for people: what to write where, until it is stopped, and what came of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence

from tasks.backends.replicate_simulator.faults import parse_rule
from tasks.backends.replicate_simulator.models import FLUX_SCHNELL
from tasks.backends.replicate_simulator.server import Simulator, serve
from tasks.backends.replicate_simulator.settings import Settings
from tasks.backends.replicate_simulator.truth import Truth
from tasks.core.errors import InputError
from tasks.core.money import format_cell, to_micros
from tasks.core.text import align_columns

TOKEN = "simulated"  # noqa: S105  any word is a token here


def rehearse(*, port: int, faults: Sequence[str], latency_s: float, seed: int, say: Callable[[str], None]) -> str:
    """Run a simulator until Ctrl-C; `say` is given how to reach it.

    Returns:
        A table of what was really created and billed.

    Raises:
        InputError: A fault that does not exist, or a port that is taken.
    """
    try:
        rules = [parse_rule(text) for text in faults]
    except ValueError as exc:
        raise InputError(f"--fault {exc}") from None
    # Batches remember the ids of an account: those of an earlier rehearsal would be taken for another batch's.
    settings = Settings(latency_s=latency_s, seed=seed, start=secrets.token_hex(8))
    try:
        truth = serve(settings, rules, port, ready=lambda simulator: say(format_instructions(simulator)))
    except OSError as exc:
        raise InputError(
            f"--port {port}: cannot be used ({os.strerror(exc.errno or 0)}); give another one, or 0"
        ) from None
    return format_truth(truth)


def format_instructions(simulator: Simulator) -> str:
    """List the lines that a rehearsal needs in `imagen.yaml` and in the environment."""
    # The host only: the port changes with each rehearsal, and the backend compares hosts.
    host = simulator.delivery_url.removeprefix("http://").partition(":")[0]
    return (
        f"Replicate is simulated at {simulator.url} until Ctrl-C. An imagen.yaml for it:\n\n"
        f"default_backend: rehearsal\n"
        f"backends:\n"
        f"  rehearsal:\n"
        f"    type: replicate\n"
        f"    model: {FLUX_SCHNELL.slug}\n"
        f"    api_base: {simulator.url}\n"
        f"    delivery_hosts: [{host}]\n\n"
        f"and in the shell: export REPLICATE_API_TOKEN={TOKEN}\n"
    )


def format_truth(truth: Truth) -> str:
    """Format what was really created and billed, as lines for people."""
    rows = {
        "created": truth.created,
        "billed": truth.billed,
        "cost_usd": format_cell(to_micros(truth.cost_usd) or 0),
        "duplicates billed": truth.duplicates_billed,
        "highest in flight": truth.highest_in_flight,
        "requests": truth.requests_total,
        "answers of 429": sum(truth.throttled.values()),
        "token leaks": truth.token_leaks,
        **truth.faults,
    }
    return align_columns([("what", "count"), *((name, str(value)) for name, value in rows.items())], numbers=("count",))
