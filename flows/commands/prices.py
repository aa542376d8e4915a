"""`imagen prices`: what each model costs, where that was read and when."""

from __future__ import annotations

from flows.cli_support import options

NAME = "prices"


def command(json: options.Json = False, config: options.Config = None, verbose: options.Verbose = False) -> None:
    """List the known prices with their source and age.

    Example: imagen prices
    """
    from datetime import UTC, datetime
    from json import dumps

    from tasks.backends.price_list import format_prices, list_prices
    from tasks.core.paths import locate_config
    from tasks.core.settings import load_settings

    listing = list_prices(load_settings(locate_config(config)), datetime.now(UTC).date())
    print(dumps(listing, ensure_ascii=False) if json else "\n".join(format_prices(listing)))
