"""Ask whether a Prefect server answers at an address, without importing Prefect."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from contextlib import suppress
from enum import Enum
from urllib.parse import urlsplit

from tasks.core.errors import ConfigError, ImagenError

# Seconds; on this machine the system answers at once, and on another one it is a way there and back.
CONNECT_TIMEOUT_S = 5.0
# Seconds; a server on a busy machine may need many of them for an answer that takes it a millisecond.
ANSWER_TIMEOUT_S = 30.0
HEALTH_BYTES = 16
HEALTHY = (http.client.OK, b"true")
"""Prefect's answer to a look at its health. Anything else on a port belongs to another program, or asks for a login."""
NO_ANSWERS = {http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT}
"""What a proxy says in the place of a server that is gone or hangs."""


class Presence(Enum):
    """The state of a server that is looked at, in words for the user."""

    ANSWERS = "answers"
    OTHER = "is another program's"
    HANGS = "takes calls and answers none"
    GONE = "takes no calls any more"


class ServerError(ImagenError):
    """Raised when there is no Prefect server to talk to. Nothing was spent; trying again may help."""


def is_healthy(api_url: str, *, timeout_s: float) -> bool:
    """True if a Prefect API answers here. Another program on the port does not count, whatever it answers."""
    return look_for_prefect(api_url, timeout_s=timeout_s) is Presence.ANSWERS


def look_for_prefect(api_url: str, *, timeout_s: float) -> Presence:
    """Look what is at a port of this machine, past any proxy."""
    parts = urlsplit(api_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path}/health")
        answer = connection.getresponse()
        is_prefect = (answer.status, answer.read(HEALTH_BYTES).strip()) == HEALTHY
    except ConnectionRefusedError:
        return Presence.GONE
    except TimeoutError:
        return Presence.HANGS
    except (OSError, http.client.HTTPException):
        return Presence.OTHER
    finally:
        connection.close()
    return Presence.ANSWERS if is_prefect else Presence.OTHER


def is_listening(api_url: str) -> bool:
    """True where a server is there, however busy: the system takes the call for it.

    A server that only a proxy reaches counts as there, because the way to it is not known.
    """
    parts = urlsplit(api_url)
    host = parts.hostname or ""
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host):
        return True
    default = http.client.HTTPS_PORT if parts.scheme == "https" else http.client.HTTP_PORT
    try:
        socket.create_connection((host, parts.port or default), CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def look_for_server(api_url: str, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Presence:
    """Look whether a server is there, and whether it still answers."""
    if not is_listening(api_url):
        return Presence.GONE
    try:
        status, _ = _ask_health(remove_login(api_url), timeout_s)
    except (OSError, ValueError, http.client.HTTPException):
        return Presence.HANGS
    return Presence.HANGS if status in NO_ANSWERS else Presence.ANSWERS


def require_answer(api_url: str, *, timeout_s: float, place: str = "") -> None:
    """Pass when the user's server answers at all; whether it lets us in, Prefect finds out.

    Args:
        api_url: Its address.
        timeout_s: How long it may take.
        place: Where the address stands; empty: in the environment.

    Raises:
        ConfigError: this is no address, or that of the server's pages and not of its API.
        ServerError: nothing answers there.
    """
    url = remove_login(api_url)
    setting, remedy = "PREFECT_API_URL", "unset PREFECT_API_URL"
    if place:
        # `unset` in a shell would not help.
        setting, remedy = f"{setting} of {place}", "take it out there"
    if not _is_address(api_url):
        raise ConfigError(f"{setting} is no address of a Prefect API: {url!r}. One is http://127.0.0.1:4200/api")
    try:
        answer = _ask_health(url, timeout_s)
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise ServerError(
            f"the Prefect server at {url} ({setting}) does not answer ({getattr(exc, 'reason', exc)}): "
            f"start it, or {remedy} to use a temporary one"
        ) from None
    parts = urlsplit(url)
    if answer == HEALTHY or "api" in parts.path.split("/"):
        return
    # The address in the browser is that of the pages, which answer every path.
    api = f"{parts.scheme}://{parts.netloc}/api"
    with suppress(OSError, ValueError, http.client.HTTPException):
        if _ask_health(api, timeout_s) == HEALTHY:
            raise ConfigError(f"{setting} is {url}, but the API of the Prefect server there is {api}")


def remove_login(api_url: str) -> str:
    """The address without a password in it, which is for Prefect to send and not for the screen."""
    return re.sub("//[^/]*@", "//", api_url)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an end, a port that is no number
        return False
    # Python would strip spaces around it, and Prefect's client would not.
    is_plain = not re.search(r"\s", url) and not parts.query and not parts.fragment
    return parts.scheme in {"http", "https"} and has_host and is_plain


def _ask_health(url: str, timeout_s: float) -> tuple[int, bytes]:
    """Give the status and the first bytes of whatever answers there.

    Raises:
        OSError, ValueError, HTTPException: Nothing answers, or not in HTTP.
    """
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=timeout_s) as answer:  # noqa: S310  the user's URL
            return int(answer.status), answer.read(HEALTH_BYTES).strip()
    except urllib.error.HTTPError as answer:
        # Any status is an answer; whether it lets us in, Prefect finds out.
        answer.close()
        return answer.code, b""
    except urllib.error.URLError as exc:
        if isinstance(exc.reason, ssl.SSLCertVerificationError):
            return http.client.OK, b""  # somebody answers; Prefect has settings of its own for whom it trusts
        raise
