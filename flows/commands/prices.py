"""`imagen prices`: what each model costs, where that was read and when; or which prices a manifest lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from flows.cli_support import options
from flows.cli_support.fields import take_fields
from flows.cli_support.values import expand_path

UNPRICED_STATUS = 2

Check = Annotated[
    str | None,
    typer.Option(
        "--check",
        metavar="MANIFEST",
        help="Tell which models of this manifest have no known price; exit code 2 where one has none.",
        callback=expand_path,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSwitches:
    """Options of `imagen prices`."""

    check: Check = None
    backend: options.Backend = None
    ignore_columns: options.IgnoreColumns = None
    prompt_column: options.PromptColumn = None
    literal: options.Literal = False
    encoding: options.Encoding = None
    json: options.Json = False
    config: options.Config = None
    verbose: options.Verbose = False


@take_fields(PriceSwitches)
def command(given: PriceSwitches) -> None:
    """List the known prices with their source and age, or check that a manifest's models have one.

    Example: imagen prices --check prompts.csv
    """
    from datetime import UTC, datetime

    from flows.cli_support.values import read_switches
    from tasks.backends.price_list import format_prices, list_prices
    from tasks.core.errors import InputError
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.core.values import parse_backend_option
    from tasks.manifest import open_manifest
    from tasks.plan.planner import PlanOptions
    from tasks.plan.price_check import check_prices, format_price_check
    from tasks.runs.configuration import load_named_settings

    # Both at once, so that the age of a price and the day of the check are the same.
    settings, today = load_named_settings(given.config), datetime.now(UTC).date()
    if given.check is None:
        if given.ignore_columns is not None or given.prompt_column is not None:
            raise InputError("--prompt-column and --ignore-columns are for the manifest of --check; give it")
        listing = list_prices(settings, today)
        print(dump_json(listing) if given.json else escape_lines("\n".join(format_prices(listing))))
        return
    # The columns that the user ignores can hide the backend's name, and with it the price.
    with open_manifest(given.check, options=read_switches(given, settings)) as manifest:
        records = check_prices(manifest, settings, PlanOptions(backends=parse_backend_option(given.backend)), today)
    print(dump_json(records) if given.json else escape_lines("\n".join(format_price_check(records))))
    if not all(record["priced"] for record in records):
        raise typer.Exit(UNPRICED_STATUS)
