"""Checks of a request before anything is written or sent: manifest, settings, output, ledger, runner."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.ext.asyncio import AsyncEngine

from tasks.core.configuration.sections import RunnerSettings
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError, InputError
from tasks.core.gates import Gates, list_judges
from tasks.core.installation import install_command
from tasks.core.judge import JudgeSettings, list_placeholders
from tasks.ledger.database.connect import reach_ledger
from tasks.ledger.database.location import LedgerPlace, SqliteFile, require_ledger
from tasks.ledger.runs import has_plan
from tasks.ledger.start_notice import announce_start
from tasks.manifest import open_manifest, read_gates
from tasks.metadata.exports.extra_columns import TABLE_COLUMNS
from tasks.plan.check import PlanReport, check_manifest
from tasks.runs.configuration import load_run_settings
from tasks.runs.effective_settings import find_ledger, load_given_settings, override_settings, put_gates
from tasks.runs.request import RunRequest
from tasks.scores.gates.rule import build_rule, check_judge_names
from tasks.store.output import parse_output

PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}
"""The package that the extra of the same name installs."""
_checked: ContextVar[tuple[RunRequest, PlanReport] | None] = ContextVar("checked", default=None)


def check_request(request: RunRequest) -> PlanReport | None:
    """Check the whole manifest and the output before anything is written; a second check of a request costs nothing.

    Returns:
        Counts and estimates of the manifest; None on a resume.

    Raises:
        ManifestError: The manifest has problems; they are all in it.
        ConfigError: A setting cannot be used, or a backend that the manifest needs is not set up.
        InputError: There is no batch to resume, or its output cannot be written.
    """
    out = parse_output(request.out)
    if request.manifest is None:
        # Called for its error: a wrong `--only` is told before anything is opened.
        request.reopened()
        require_ledger(out.ledger_folder())
        out.check()
        return None
    # A flow is checked by the command line and again by Prefect, which would plan the manifest twice.
    if (known := _checked.get()) is not None and known[0] == request:
        return known[1]
    given, options = load_run_settings(request.config, anew=True), request.plan_options()
    settings = override_settings(given, request)
    check_runner(settings.runner, find_ledger(request, given))
    check_signature(settings)
    # For `imagen status --watch`: the folder is locked only when the manifest was read.
    with (
        announce_start(out.address),
        open_manifest(request.manifest, options=request.read_options(settings)) as manifest,
    ):
        report = check_manifest(manifest, settings, options, ask=True, gate_layer=request.gate_layer())
    check_gates(put_gates(settings, request, report.gates).gates, report.columns, settings.scores)
    check_row_gates(report.row_gates, report.columns, settings.scores)
    out.check()
    _checked.set((request, report))
    return report


async def has_same_plan(engine: AsyncEngine, request: RunRequest) -> bool:
    """True if the request was checked in this context, and its plan is the ledger's last one: nothing is to be written."""
    known = _checked.get()
    digest = known[1].digest if known is not None and known[0] == request else None
    return digest is not None and await has_plan(engine, digest)


async def check_ledger(request: RunRequest) -> None:
    """Connect to the ledger before anything else is started.

    Raises:
        ConfigError: The ledger cannot be reached. Nothing was spent.
    """
    await reach_ledger(find_ledger(request, load_given_settings(request)))


def check_signature(settings: Settings) -> None:
    """Check that images can be signed, where they are to be.

    Raises:
        ConfigError: The library, certificate or key cannot be used. Nothing was spent.
    """
    if (signing := settings.output.signing) is not None:
        from tasks.store.signing import check_signing  # noqa: PLC0415  loads Pillow, for which no other check waits

        check_signing(signing)


def check_gates(gates: Gates, columns: Mapping[str, Any], judges: Mapping[str, JudgeSettings]) -> None:
    """Check the rule against the scores that there are, the manifest's columns, and the judges.

    Raises:
        ConfigError: There is no such score, or a judge lacks its key or a column of its question.
        InputError: The condition cannot be understood.
    """
    own = [*columns.get("carried", ()), *columns.get("used", ())]
    check_judge_names(gates, judges, own)
    rule = build_rule(gates, own, judges)
    if rule.condition is not None:
        rule.condition.close()
    for name in list_judges(gates, judges):
        from tasks.scores.judge.endpoint import read_key  # noqa: PLC0415  loads an HTTP client, which other runs may not need

        read_key(name, judges[name])
        known = {column.lower() for column in columns.get("carried", ())} | TABLE_COLUMNS
        for column in list_placeholders(judges[name].question):
            if column.lower() not in known:
                raise ConfigError(
                    f"scores.{name}: the question asks for {column!r}, and the manifest has no such column"
                )


def check_row_gates(
    row_gates: Mapping[Gates, str], columns: Mapping[str, Any], judges: Mapping[str, JudgeSettings]
) -> None:
    """Check the rules of single rows likewise; each by the place where it stands.

    Raises:
        InputError: One cannot be used; the message begins with its place.
    """
    for gates, place in row_gates.items():
        try:
            check_gates(gates, columns, judges)
        except InputError as exc:
            raise InputError(f"{place}: {exc}") from None


def find_manifest_gates(request: RunRequest, settings: Settings) -> Mapping[str, Any]:
    """`keep`, `reject` and `reroll` of the request's manifest."""
    if request.manifest is None:
        return {}
    # Mostly checked a moment ago, in this process.
    if (known := _checked.get()) is not None and known[0] == request:
        return known[1].gates
    with open_manifest(request.manifest, options=request.read_options(settings)) as manifest:
        return read_gates(manifest)


def check_runner(runner: RunnerSettings, ledger: LedgerPlace) -> None:
    """Check that the runner is installed and that its workers can reach the ledger.

    Raises:
        ConfigError: One of the two is missing. Nothing was spent.
    """
    kind = runner.kind
    # A local run needs no extra: only a cluster does.
    if kind == "local":
        return
    if find_spec(PACKAGES[kind]) is None:
        raise ConfigError(
            f"--runner {kind}: {PACKAGES[kind]} is not installed; install it with: {install_command(kind)}"
        )
    # SQLite allows one writer at a time, and a lock of a file is not kept over a network.
    if isinstance(ledger, SqliteFile):
        raise ConfigError(
            f"--runner {kind}: needs a ledger on PostgreSQL, because workers share its limits and cannot share a file. "
            "Set `ledger: postgresql://user@host/database` in the configuration of a new batch"
        )
    # A worker gets the settings in an order, and a password there would stand in Prefect's database.
    if urlsplit(ledger.url).password is not None and "PGPASSWORD" not in os.environ:
        raise ConfigError(
            f"--runner {kind}: `ledger` contains a password, and passwords are not sent to workers. Remove it from the "
            "URL and set PGPASSWORD or ~/.pgpass, here and where the workers run"
        )
