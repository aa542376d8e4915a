"""`imagen plan`: what a manifest would do, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.cli_support import options
from flows.cli_support.fields import take_fields

if TYPE_CHECKING:  # nothing heavy is loaded for `imagen --help`
    from tasks.core.configuration.settings import Settings
    from tasks.store.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSwitches:
    """Options of `imagen plan`."""

    manifest: options.Manifest
    out: options.Out = None
    backend: options.Backend = None
    limit: options.Limit = None
    budget: options.Budget = None
    salt: options.Salt = ""
    replace: options.Replace = False
    reuse: options.Reuse = None
    reuse_any_salt: options.ReuseAnySalt = False
    keep_best: options.KeepBest = None
    keep_by: options.KeepBy = None
    reject: options.Reject = None
    rerolls: options.Rerolls = None
    ignore_columns: options.IgnoreColumns = None
    prompt_column: options.PromptColumn = None
    literal: options.Literal = False
    encoding: options.Encoding = None
    ask: options.Ask = False
    json: options.Json = False
    config: options.Config = None
    verbose: options.Verbose = False


@take_fields(PlanSwitches)
def command(given: PlanSwitches) -> None:
    """Check a manifest, and show counts, cost and time of a run.

    It sends nothing (but with --ask questions about prices), spends nothing and needs no server. Its exit status is that of the run: 3 where the budget does not suffice, 2 where something has to be set up.

    Example: imagen plan prompts.yaml --out runs/foxes --budget 5
    """
    import sys

    from tasks.core.gates import Gates
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.core.text import format_command
    from tasks.manifest.source import STDIN
    from tasks.plan.preview import format_preview
    from tasks.plan.refusals import check_preview
    from tasks.runs.configuration import load_named_settings

    settings = load_named_settings(given.config)
    record, out = _preview(given, settings)
    print(dump_json(record) if given.json else escape_lines("\n".join(format_preview(record))))
    gates = Gates.model_validate(record["gates"])
    # Last, so that the preview is on the screen when the exit status says that the run would be refused.
    if gates.is_set or settings.output.signing is not None:
        # Scores and signatures load Pillow and a database, for which no other plan waits.
        from tasks.runs.checks import check_gates, check_signature

        check_gates(gates, record["columns"], settings.scores)
        check_signature(settings)
    if record["row_gates"]:
        from tasks.runs.checks import check_row_gates

        places = {Gates.model_validate(rule): place for place, rule in record["row_gates"].items()}
        check_row_gates(places, record["columns"], settings.scores)
    check_preview(record, settings, out, replace=given.replace)
    if not given.json and record["to_do"] and given.manifest != STDIN:
        print(f"to make them: {format_command('run', *(part for part in sys.argv[2:] if part != '--ask'))}")


def _preview(given: PlanSwitches, settings: Settings) -> tuple[dict[str, Any], Output]:
    """The record of the plan, and the output that it is for."""
    import os
    from datetime import UTC, datetime

    from flows.cli_support.values import choose_out, read_switches
    from tasks.core.gates import build_option_layer
    from tasks.core.values import parse_backend_option
    from tasks.manifest import open_manifest
    from tasks.plan.planner import PlanOptions
    from tasks.plan.preview import preview_plan
    from tasks.reuse.options import build_reuse_options
    from tasks.store.output import parse_output
    from tasks.usage.caller import resolve_caller

    with open_manifest(given.manifest, options=read_switches(given, settings)) as opened:
        out = parse_output(given.out or choose_out(opened))
        record = preview_plan(
            opened,
            settings,
            PlanOptions(backends=parse_backend_option(given.backend), limit=given.limit, salt=given.salt),
            out=out,
            budget_usd=given.budget,
            today=datetime.now(UTC).date(),
            caller=resolve_caller(os.environ),
            reuse=build_reuse_options(settings, given.reuse, any_salt=given.reuse_any_salt),
            ask=given.ask,
            gate_layer=build_option_layer(
                best=given.keep_best, by=given.keep_by, reject=given.reject, rerolls=given.rerolls
            ),
        )
    return record, out
