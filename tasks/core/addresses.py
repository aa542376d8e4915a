"""Addresses of services: which are on this machine, and where a secret may travel."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from tasks.core.values import is_yes

ALLOW_HTTP_VARIABLE = "IMAGEN_ALLOW_HTTP"
"""Environment variable that lets keys travel over plain http: `true` for a network that the user trusts."""
HIDDEN = "***"
WAY_FOR_SECRETS = (
    "write ${NAME} in its place and set the environment variable NAME where runs start, "
    "from a Secret block for instance (docs/containers.md)"
)
_LONGEST_SHOWN = 11
"""Characters of a value in a query that is shown: pages, formats and numbers are short, keys and signatures long."""
_SECRET_NAME = re.compile(r"sig|key|token|secret|pass|pwd|auth|cred|code|session", re.IGNORECASE)
_OPENS = re.compile(r"sig|.*(signature|token|secret|passw(or)?d|pwd)", re.IGNORECASE)
"""Names of what is surely meant to be secret; `_SECRET_NAME` rather hides too much, and nobody is refused by it."""
_KEY = re.compile(r"(.*[_-])?(api)?key", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{(\w+)\}")
"""An environment variable in an address: `https://ada:${PASSWORD}@example.org/m.csv`."""


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
    if (parts := _split(address)) is None:
        # No address at all, which whoever opens it says.
        return address
    query = "&".join(_hide_value(pair) for pair in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def _split(address: str) -> SplitResult | None:
    try:
        return urlsplit(address)
    except ValueError:
        return None


def find_secret(address: str) -> str | None:
    """Name what opens a web address and stands in it; None where nothing does, or an environment variable in its place."""
    # What is no address at all opens nothing.
    if not address.startswith(("https://", "http://")) or (parts := _split(address)) is None:
        return None
    login, at, _ = parts.netloc.rpartition("@")
    # The name alone opens nothing, but services take a token in its place.
    if at and not _REFERENCE.fullmatch(login.partition(":")[2] or login):
        return "a login"
    pairs = (pair.partition("=") for pair in parts.query.split("&"))
    given = ((name, value) for name, _, value in pairs if value != HIDDEN and not _REFERENCE.fullmatch(value))
    return next((f"the value of {name!r}" for name, value in given if value and _does_open(name, value)), None)


def _does_open(name: str, value: str) -> bool:
    # Keys of interfaces are long, those of a search are words.
    return _OPENS.fullmatch(name) is not None or (_KEY.fullmatch(name) is not None and len(value) > _LONGEST_SHOWN)


def fill_in_variables(address: str) -> str:
    """Put environment variables in the places of their names; what is secret in an address can be named so.

    Raises:
        ValueError: A variable is not set, or this is no address.
    """
    login_end = address.find("//") + 2 + urlsplit(address).netloc.rfind("@")

    def get_value(match: re.Match[str]) -> str:
        value = os.environ.get(match[1])
        if not value:
            raise ValueError(f"needs the environment variable {match[1]}, which is not set")
        # A password may hold what ends a login; a signature is made to stand in a query as it is.
        return quote(value, safe="") if match.start() < login_end else value

    return _REFERENCE.sub(get_value, address)


def _hide_value(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if _REFERENCE.fullmatch(value or name):
        return pair
    if not equals:
        return name if len(name) <= _LONGEST_SHOWN else HIDDEN
    return pair if len(value) <= _LONGEST_SHOWN and not _SECRET_NAME.search(name) else f"{name}={HIDDEN}"
