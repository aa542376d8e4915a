"""`imagen backends`: each configured instance, and what it still needs."""

from __future__ import annotations

from flows.cli_support import options

NAME = "backends"


def command(json: options.Json = False, config: options.Config = None, verbose: options.Verbose = False) -> None:
    """List the configured backends, and what each one still needs.

    Example: imagen backends
    """
    from json import dumps

    from tasks.backends.listings import format_backends, list_backends
    from tasks.core.paths import locate_config
    from tasks.core.settings import load_settings

    listing = list_backends(load_settings(locate_config(config)))
    print(dumps(listing, ensure_ascii=False) if json else "\n".join(format_backends(listing)))
