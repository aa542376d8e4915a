"""Addresses of services: which are on this machine, and where a secret may travel."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from tasks.core.values import is_yes

ALLOW_HTTP_VARIABLE = "IMAGEN_ALLOW_HTTP"
"""Environment variable that lets keys travel over plain http: `true` for a network that the user trusts."""
HIDDEN = "***"
_LONGEST_SHOWN = 11
"""Characters of a value in a query that is shown: pages, formats and numbers are short, keys and signatures long."""
_SECRET_NAME = re.compile(r"sig|key|token|secret|pass|pwd|auth|cred|code|session", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """True if a host name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # RFC 6761: such names never leave the machine.
        return host == "localhost" or host.endswith(".localhost")


def is_cleartext(address: str) -> bool:
    """True for plain http from or to another machine: whoever is on the way may read it, and change it."""
    parts = urlsplit(address)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def find_cleartext_problem(url: str, secret_name: str) -> str | None:
    """Why a secret may not travel to this address; None where it may.

    Args:
        url: Of the service; checked already.
        secret_name: The variable that holds the secret, for the message.
    """
    host = urlsplit(url).hostname
    if not host or not is_cleartext(url) or is_yes(os.environ.get(ALLOW_HTTP_VARIABLE)):
        return None
    return (
        f"plain http to {host} would send the key in {secret_name} unprotected; use https, or set "
        f"{ALLOW_HTTP_VARIABLE}=true where you trust the network"
    )


def hide_secrets(address: str) -> str:
    """The address of a file as it may be shown and kept: without a login, and without what signs or opens it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        # No address at all, which whoever opens it says.
        return address
    query = "&".join(_hide_value(pair) for pair in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def _hide_value(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return name if len(name) <= _LONGEST_SHOWN else HIDDEN
    return pair if len(value) <= _LONGEST_SHOWN and not _SECRET_NAME.search(name) else f"{name}={HIDDEN}"
