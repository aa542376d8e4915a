"""The settings, budget and ledger that a run uses: its request over its configuration over the last run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.configuration.trusted_settings import remember_settings, require_trusted_settings
from tasks.core.errors import ConfigError
from tasks.core.gates import dump_layer, merge_gates
from tasks.core.money import to_cap_micros
from tasks.ledger.database.location import LedgerPlace, locate_ledger
from tasks.ledger.runs import RunRecord, parse_settings
from tasks.reuse.options import build_reuse_options
from tasks.runs.configuration import load_run_settings
from tasks.runs.request import RunRequest
from tasks.store.output import parse_output


def load_given_settings(request: RunRequest) -> Settings | None:
    """Load the configuration that the run names; None on a resume that names none and keeps the last run's."""
    # A resume keeps the settings of the last run, so that it makes the same images.
    named = request.manifest is not None or request.config is not None
    return load_run_settings(request.config, anew=False) if named else None


def find_ledger(request: RunRequest, given: Settings | None) -> LedgerPlace:
    """Locate the batch's ledger; the configuration places the ledger of a new batch only."""
    return locate_ledger(parse_output(request.out).home, None if given is None else given.ledger_url)


def choose_settings_and_budget(
    request: RunRequest, given: Settings | None, before: RunRecord | None
) -> tuple[Settings, int | None]:
    """Choose the settings and the cap of a run.

    A cap holds over the batch's whole life: a run without a budget of its own keeps the one before it.

    Args:
        request: The user's request.
        given: The configuration that it names.
        before: The batch's last run; None for its first.

    Returns:
        The settings, and the cap in millionths of a dollar or None.
    """
    if given is not None:
        settings = given
        remember_settings(settings)
    elif before is None:
        settings = load_settings(None)
    else:
        # The ledger may have come from somebody else, and names addresses and variables with keys.
        settings = parse_settings(before)
        require_trusted_settings(settings)
    inherited = None if before is None else before.start.budget_micros
    # A cap that was set once holds until another one is named: a resume without --budget must not be without one.
    budget_micros = inherited if request.budget_usd is None else to_cap_micros(request.budget_usd)
    chosen = override_settings(settings, request)
    if request.reuse:
        # A resume finds them in the ledger, and they are this user's own.
        remember_settings(chosen)
    return chosen, budget_micros


def put_gates(
    settings: Settings, request: RunRequest, manifest: Mapping[str, Any], before: RunRecord | None = None
) -> Settings:
    """The settings with the rule of this run: its options over its manifest over its configuration.

    Raises:
        ConfigError: Together they are no rule.
    """
    kept = {} if before is None or request.manifest is not None else dump_layer(parse_settings(before).gates)
    gates = merge_gates(kept, dump_layer(settings.gates), manifest, request.gate_layer())
    return settings.model_copy(update={"keep": gates.keep, "reject": gates.reject, "reroll": gates.reroll})


def override_settings(settings: Settings, request: RunRequest) -> Settings:
    """Put the request's runner, workers and concurrency over the configured ones.

    Raises:
        ConfigError: It asks for workers or a cluster of the local runner.
    """
    given = {"kind": request.runner, "workers": request.workers, "cluster": request.cluster}
    # None means that the option was not given; a value of 0 is one.
    runner = settings.runner.model_copy(update={name: value for name, value in given.items() if value is not None})
    if runner.kind == "local" and (meaningless := [name for name in ("workers", "cluster") if given[name] is not None]):
        raise ConfigError(f"--{meaningless[0]}: the local runner has none; add --runner dask or --runner ray")
    reuse = build_reuse_options(settings, request.reuse, any_salt=request.reuse_any_salt)
    priority = settings.priority if request.priority is None else request.priority
    return settings.model_copy(
        update={
            "runner": runner,
            "priority": priority,
            "backends": _override_concurrency(settings, request.concurrency),
            "reuse": list(reuse.patterns),
            "reuse_any_salt": reuse.any_salt,
        }
    )


def _override_concurrency(settings: Settings, concurrency: int | None) -> dict[str, BackendSettings]:
    if concurrency is None:
        return settings.backends
    return {
        name: instance.model_copy(update={"concurrency": concurrency}) for name, instance in settings.backends.items()
    }
