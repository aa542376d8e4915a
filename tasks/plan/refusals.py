"""Checks of a run that need no network, made on a plan: `imagen plan` ends as the run would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.backends import build_backend, require_ready
from tasks.core.configuration.settings import Settings
from tasks.core.errors import BatchStopped, ConfigError, InputError
from tasks.store.output import Output
from tasks.store.output.folder import OutputFolder


def check_preview(record: Mapping[str, Any], settings: Settings, out: Output, *, replace: bool = False) -> None:
    """Pass where a run of this plan would begin to send.

    Args:
        record: The plan, as `preview_plan` gives it.
        settings: The configuration.
        out: The output; of a bucket nobody is asked.
        replace: The run would be told to replace the batch there.

    Raises:
        InputError: A run would be refused.
        BatchStopped: A run would stop before its first call.
    """
    if isinstance(out, OutputFolder):
        out.check()
    for name in record["backends"]:
        require_ready(name, build_backend(name, settings))
    # Not one row in common: most likely the wrong folder, and a run would empty its table.
    if not replace and record["dropped"] and not record["done"] + record["failed"] + record["held"]:
        raise InputError(
            f"{out}: the manifest has none of the rows of the batch there. A run needs --replace, or another --out."
        )
    if record["within_budget"] is False:
        if record["to_do_unpriced"]:
            # Exit 2, as the run's: nothing would be sent.
            raise ConfigError("A run would be refused, because --budget cannot be kept while a price is unknown.")
        raise BatchStopped("budget", "A run would stop before its first call, because the budget does not suffice.")
    for cap in record["caps"]:
        if cap["takes_unpriced"]:
            raise ConfigError(
                f"A run would stop, because the cap of {cap['words']} cannot be kept while a price is unknown."
            )
        # One that allows a part of the plan stops a run later, with something made.
        if cap["free"] < cap["takes_at_least"]:
            left = "is reached" if not cap["free"] else "leaves less than one image takes"
            raise BatchStopped("cap", f"A run would stop before its first call: the cap of {cap['words']} {left}.")
