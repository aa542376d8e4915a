"""Requests to the services of tests, which are on this machine and speak plain HTTP."""

from __future__ import annotations

import httpx

# A client with certificates takes 40 ms of CPU to make, and tests ask many times a second. Connections are not kept:
# the services are killed and started again.
CLIENT = httpx.Client(verify=False, trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))  # noqa: S501  nothing is encrypted


def answers(url: str) -> httpx.Response | None:
    """The answer of a service; None while nothing listens there."""
    try:
        return CLIENT.get(url)
    except httpx.TransportError:
        return None
