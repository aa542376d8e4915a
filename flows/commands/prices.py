"""`imagen prices`: what each model costs, where that was read and when; or which prices a manifest lacks."""

from __future__ import annotations

import typer

from flows.cli_support import options

NAME = "prices"
UNPRICED_STATUS = 2


def command(
    check: options.CheckPrices = None,
    backend: options.Backend = None,
    ignore_columns: options.IgnoreColumns = None,
    prompt_column: options.PromptColumn = None,
    literal: options.Literal = False,
    encoding: options.Encoding = None,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
) -> None:
    """List the known prices with their source and age, or check that a manifest's models have one.

    Example: imagen prices --check prompts.csv
    """
    from datetime import UTC, datetime

    from tasks.backends.price_list import format_prices, list_prices
    from tasks.core.paths import locate_config
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.core.settings import load_settings
    from tasks.core.values import parse_backend_option
    from tasks.manifest import open_manifest
    from tasks.manifest.reading import build_read_options
    from tasks.plan.planner import PlanOptions
    from tasks.plan.price_check import check_prices, format_price_check

    # Both at once, so that the age of a price and the day of the check are the same.
    settings, today = load_settings(locate_config(config)), datetime.now(UTC).date()
    if check is None:
        listing = list_prices(settings, today)
        print(dump_json(listing) if json else escape_lines("\n".join(format_prices(listing))))
        return
    # The columns that the user ignores can hide the backend's name, and with it the price.
    reading = build_read_options(
        settings.columns,
        file=settings.file,
        ignore=ignore_columns,
        prompt_column=prompt_column,
        literal=literal,
        encoding=encoding,
    )
    with open_manifest(check, options=reading) as manifest:
        records = check_prices(manifest, settings, PlanOptions(backends=parse_backend_option(backend)), today)
    print(dump_json(records) if json else escape_lines("\n".join(format_price_check(records))))
    if not all(record["priced"] for record in records):
        raise typer.Exit(UNPRICED_STATUS)
