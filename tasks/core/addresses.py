"""Addresses of services: which are on this machine, and where a secret may travel."""

from __future__ import annotations

import os
from ipaddress import ip_address
from urllib.parse import urlsplit

from tasks.core.values import is_yes

ALLOW_HTTP_VARIABLE = "IMAGEN_ALLOW_HTTP"
"""Environment variable that lets keys travel over plain http: `true` for a network that the user trusts."""


def is_loopback(host: str) -> bool:
    """True if a host name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # RFC 6761: such names never leave the machine.
        return host == "localhost" or host.endswith(".localhost")


def find_cleartext_problem(url: str, secret_name: str) -> str | None:
    """Why a secret may not travel to this address; None where it may.

    Args:
        url: Of the service; checked already.
        secret_name: The variable that holds the secret, for the message.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or not host or is_loopback(host) or is_yes(os.environ.get(ALLOW_HTTP_VARIABLE)):
        return None
    return (
        f"plain http to {host} would send the key in {secret_name} unprotected; use https, or set "
        f"{ALLOW_HTTP_VARIABLE}=true where you trust the network"
    )
