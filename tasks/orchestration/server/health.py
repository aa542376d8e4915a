"""Ask whether a Prefect server answers at an address, without importing Prefect."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from tasks.core.errors import ImagenError

# Seconds; on this machine the system answers at once, and on another one it is a way there and back.
CONNECT_TIMEOUT_S = 5.0


class ServerError(ImagenError):
    """Raised when there is no Prefect server to talk to. Nothing was spent; trying again may help."""


def is_healthy(api_url: str, *, timeout_s: float) -> bool:
    """True if a Prefect API answers here. Another program on the port does not count, whatever it answers."""
    # Prefect answers `true` there. Anything else on the port belongs to another program.
    parts = urlsplit(api_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path}/health")
        answer = connection.getresponse()
        return answer.status == http.client.OK and answer.read(16).strip() == b"true"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


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


def require_answer(api_url: str, *, timeout_s: float) -> None:
    """Pass when the user's server answers at all; whether it lets us in, Prefect finds out.

    Raises:
        ServerError: nothing answers there.
    """
    # A password in it is for Prefect to send; here it would only be in the way, and on the screen.
    url = re.sub("//[^/]*@", "//", api_url)
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=timeout_s):  # noqa: S310  the user's URL
            pass
    except urllib.error.HTTPError as answer:
        # Any status is an answer; whether it lets us in, Prefect finds out.
        answer.close()
    except (OSError, ValueError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", exc)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return  # somebody answers; Prefect has settings of its own for whom it trusts
        raise ServerError(
            f"the Prefect server at {url} (PREFECT_API_URL) does not answer ({reason}): "
            "start it, or unset PREFECT_API_URL to use a temporary one"
        ) from None
