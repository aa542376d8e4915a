"""Settings of `imagen server`: what Prefect's own defaults leave open or get wrong on another host or port."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, MutableMapping

from tasks.core.errors import ConfigError
from tasks.orchestration.server.user_settings import find_setting

LOGIN, CLIENT_LOGIN = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"


def require_login(host: str, environ: Mapping[str, str]) -> None:
    """Check that a server which other machines reach asks them for a login.

    Raises:
        ConfigError: It would let everybody in. Nothing was started.
    """
    if _is_loopback(host) or find_setting(environ, LOGIN, ("server", "api", "auth_string")):
        return
    raise ConfigError(
        f"--host {host} lets other machines in, and whoever reaches the server can start runs that cost money. "
        f"Set a login: {LOGIN}=USER:PASSWORD here, and {CLIENT_LOGIN}=USER:PASSWORD wherever imagen or Prefect is used. "
        "Without one, use `prefect server start`"
    )


def set_server_defaults(host: str, port: int, environ: MutableMapping[str, str]) -> None:
    """Set addresses and origins for this host and port, where the user has not decided.

    Raises:
        ConfigError: A Prefect settings file cannot be read.
    """
    address = f"http://{_get_public_name(host)}:{port}"
    # Behind a proxy both may have a path of their own, under which Prefect serves them.
    api_path = find_setting(environ, "PREFECT_SERVER_API_BASE_PATH", ("server", "api", "base_path")) or "/api"
    pages = find_setting(environ, "PREFECT_UI_SERVE_BASE", ("server", "ui", "serve_base")) or find_setting(
        environ, "PREFECT_SERVER_UI_SERVE_BASE", ("server", "ui", "serve_base")
    )
    for variable, path, value in (
        # Relative, so the pages work under every name of this machine. Prefect's default names port 4200.
        ("PREFECT_SERVER_UI_API_URL", ("server", "ui", "api_url"), api_path),
        # Without it, the link in a notification is the word None.
        ("PREFECT_UI_URL", ("ui_url",), address + (pages or "").rstrip("/")),
        # Prefect's default lets every web page that somebody opens read and change what is here.
        ("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", ("server", "api", "cors_allowed_origins"), address),
    ):
        if find_setting(environ, variable, path) is None:
            environ[variable] = value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _get_public_name(host: str) -> str:
    """The name by which others reach this machine; an address that means all of them is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if address.version == 6 else host  # noqa: PLR2004  IPv6 in a URL
