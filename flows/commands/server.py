"""`imagen server`: Prefect's server with its scheduler and pages, for what outlives a single run."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli_support.values import in_range

MOST_PORT = 65_535
Host = Annotated[
    str,
    typer.Option(
        "--host", metavar="ADDRESS", help="Address to listen on. 0.0.0.0 lets other machines in, with a login."
    ),
]
Port = Annotated[
    int,
    typer.Option("--port", metavar="N", help="Port of Prefect's API and pages.", callback=in_range(1, MOST_PORT)),
]


def command(host: Host = "127.0.0.1", port: Port = 4200) -> None:
    """Run Prefect's server until Ctrl-C, because schedules need one that stays.

    It is `prefect server start` with analytics off, pages and notifications that link to this host and port, and no
    answers to other web pages. It listens to other machines only with a login.

    Example: imagen server
    """
    import os
    import sys

    from tasks.orchestration.server.connection import set_quiet_defaults
    from tasks.orchestration.server.loading import load_prefect
    from tasks.orchestration.server.public_server import require_login, set_server_defaults

    require_login(host, os.environ)
    set_quiet_defaults(os.environ)
    set_server_defaults(host, port, os.environ)
    # Only now, because it reads its settings when it is imported.
    load_prefect()
    from prefect.cli import app

    # Prefect's own command takes over, so it reads the arguments that we chose.
    sys.argv = ["prefect", "server", "start", "--host", host, "--port", str(port)]
    app()
