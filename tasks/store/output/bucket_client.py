"""Reaching a bucket: credentials and endpoint come from the environment, as obstore reads them.

Only the endpoint is looked at here: an address that is none makes the client fail without saying why, and plain
http is for this machine unless the user says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import ObjectStore, from_url

from tasks.core.addresses import is_loopback
from tasks.core.errors import ConfigError
from tasks.core.values import is_yes
from tasks.store.output.bucket_errors import STORE_ERRORS, get_reason
from tasks.store.output.bucket_url import BucketUrl

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig  # of its stubs: they are not there at run time

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT")
ALLOW_HTTP_VARIABLE = "AWS_ALLOW_HTTP"
REQUEST_TIMEOUT_S = 120.0
"""Of one request: many images share a slow line."""
LONGEST_WAIT_S = 5.0
CONTENT_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".md": "text/markdown; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".tar": "application/x-tar",
}
"""Python's own table lacks some of them, and depends on the machine."""


def connect(url: BucketUrl, *, patience_s: float, environ: Mapping[str, str] | None = None) -> ObjectStore:
    """A client of the bucket; nothing is sent yet.

    Its requests are tried again after a broken connection, a time-out or a 5xx for `patience_s`. All of them may be: what
    they write is the same each time. Nothing above it tries again.

    Raises:
        ConfigError: The environment does not say how to reach it.
    """
    options: ClientConfig = {"timeout": timedelta(seconds=REQUEST_TIMEOUT_S)}
    if url.scheme == "s3" and _check_endpoint(os.environ if environ is None else environ):
        options["allow_http"] = True
    retries: RetryConfig = {
        # The time decides, not the number.
        "max_retries": 1_000 if patience_s else 0,
        "retry_timeout": timedelta(seconds=patience_s),
        "backoff": {"max_backoff": timedelta(seconds=LONGEST_WAIT_S)},
    }
    try:
        return from_url(url.root, client_options=options, retry_config=retries)
    except STORE_ERRORS as exc:
        raise ConfigError(f"{url}: {get_reason(exc, url)}") from None


def _check_endpoint(environ: Mapping[str, str]) -> bool:
    """True if plain http may be used; checks the endpoint on the way."""
    allowed = is_yes(environ.get(ALLOW_HTTP_VARIABLE))
    for name in ENDPOINT_VARIABLES:
        if endpoint := environ.get(name):
            return _is_plain_http(name, endpoint, allowed=allowed)
    return allowed


def _is_plain_http(name: str, endpoint: str, *, allowed: bool) -> bool:
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname if parts.port is None or parts.port else None
    except ValueError:
        parts, host = urlsplit(""), None
    # A password in the URL would show in every message.
    if parts.scheme not in {"http", "https"} or not host or parts.username:
        raise ConfigError(f"{name}: is not the address of a service; write https://host or https://host:port")
    if parts.scheme == "http" and not allowed and not is_loopback(host):
        raise ConfigError(
            f"{name}: plain http to {host} would send images unprotected; use https, or set {ALLOW_HTTP_VARIABLE}=true"
        )
    return parts.scheme == "http"


def get_content_type(name: str) -> str:
    """The media type that an object is stored with, so that a browser shows it instead of downloading it."""
    return CONTENT_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
