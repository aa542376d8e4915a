"""`imagen backends`: each configured instance, and what it still needs."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli_support import options

NAME = "backends"


Everything = Annotated[bool, typer.Option("--all", help="List the image services that can be used by name.")]


def command(
    everything: Everything = False,
    json: options.Json = False,
    config: options.Config = None,
    verbose: options.Verbose = False,
) -> None:
    """List the configured backends, and what each one still needs.

    Example: imagen backends
    """
    from tasks.backends.listings import format_backends, format_services, list_backends, list_services
    from tasks.core.paths import locate_config
    from tasks.core.safe_text import dump_json, escape_lines
    from tasks.core.settings import load_settings

    settings = load_settings(locate_config(config))
    listing = list_services(settings) if everything else list_backends(settings)
    lines = format_services(listing) if everything else format_backends(listing)
    print(dump_json(listing) if json else escape_lines("\n".join(lines)))
