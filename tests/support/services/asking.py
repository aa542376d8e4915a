"""Requests to the services of tests, which are on this machine and speak plain HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.waiting import PATIENCE_S

LOOK_TIMEOUT_S = 30.0

# A client with certificates takes 40 ms of CPU to make, and tests ask many times a second. Connections are not kept:
# the services are killed and started again.
CLIENT = httpx.Client(
    verify=False,  # noqa: S501  nothing is encrypted
    trust_env=False,
    timeout=PATIENCE_S,
    limits=httpx.Limits(max_keepalive_connections=0),
)


def answers(url: str) -> httpx.Response | None:
    """The answer of a service; None while nothing listens there."""
    try:
        # Whoever asks whether a service is up asks again: one that was killed meanwhile must not be waited for.
        return CLIENT.get(url, timeout=LOOK_TIMEOUT_S)
    except httpx.TransportError:
        return None


def read_truth(api: str) -> dict[str, Any]:
    """The account of a simulator of ours, at its own address or that of its API: what it made and billed."""
    account: dict[str, Any] = CLIENT.get(f"{api.removesuffix('/v1')}/_simulator/truth").json()
    return account
