"""Requests that are signed in place of sending a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from tasks.backends.client.aws_signature import AwsKeys, sign_request
from tasks.backends.client.options import read_secret
from tasks.backends.http_api.sections import Signature


def leave_out_authorization(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without the header that a signature replaces."""
    return {name: _without_header(part) if isinstance(part, dict) else part for name, part in values.items()}


def _without_header(part: dict[str, Any]) -> dict[str, Any]:
    headers = part.get("headers")
    if not isinstance(headers, dict):
        return part
    return {**part, "headers": {name: text for name, text in headers.items() if str(name).lower() != "authorization"}}


def build_signer(
    settings: Signature, may_sign: Callable[[httpx.URL], bool]
) -> tuple[Callable[[httpx.Request], None], list[str]]:
    """The signer of requests, and the secrets that it holds.

    Args:
        settings: The instance's.
        may_sign: True for an address of the service; a storage's host gets no signature.
    """
    keys = AwsKeys(
        key_id=read_secret(settings.key_id_env),
        secret=read_secret(settings.secret_env),
        session_token=read_secret(settings.session_token_env),
    )

    def sign(request: httpx.Request) -> None:
        if may_sign(request.url):
            sign_request(request, keys, service=settings.aws, region=settings.region, now=datetime.now(UTC))

    return sign, [keys.secret, keys.session_token]
