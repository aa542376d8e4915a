"""The signature of AWS (Signature Version 4): proves a secret key without sending it."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import httpx

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKeys:
    """The keys of an account or a role."""

    key_id: str
    secret: str
    session_token: str = ""
    """Of a role's keys, which end after some hours."""


def sign_request(request: httpx.Request, keys: AwsKeys, *, service: str, region: str, now: datetime) -> None:
    """Put the signature into the request's headers, in place of any other `Authorization`.

    Args:
        request: Whole, with its body.
        keys: The account's.
        service: As AWS calls it, such as bedrock.
        region: Such as us-west-2.
        now: The present time; AWS refuses a signature that is more than five minutes old.
    """
    instant = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    request.headers["x-amz-date"] = instant
    if keys.session_token:
        request.headers["x-amz-security-token"] = keys.session_token
    signed = {name: " ".join(request.headers[name].split()) for name in sorted({"host", *_list_own(request)})}
    names, scope = ";".join(signed), f"{instant[:8]}/{region}/{service}/aws4_request"
    canonical = "\n".join(
        [
            request.method,
            # Quoted once more than in the request, and each run of slashes is one; only S3 has it otherwise.
            quote(re.sub("/+", "/", request.url.raw_path.partition(b"?")[0].decode()) or "/", safe="/-_.~"),
            _write_query(request.url.query.decode()),
            *(f"{name}:{value}" for name, value in signed.items()),
            "",
            names,
            hashlib.sha256(request.read()).hexdigest(),
        ]
    )
    text = "\n".join([ALGORITHM, instant, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = _digest(key, part)
    request.headers["authorization"] = (
        f"{ALGORITHM} Credential={keys.key_id}/{scope}, SignedHeaders={names}, Signature={_digest(key, text).hex()}"
    )


def _list_own(request: httpx.Request) -> list[str]:
    """AWS's own headers, which have to be signed."""
    return [name for name in request.headers if name.startswith("x-amz-")]


def _write_query(query: str) -> str:
    """The parts of a query in order, each with its `=`."""
    # By name first: as texts, `a-b=1` would stand before `a=1`.
    parts = sorted(part.partition("=")[::2] for part in query.split("&") if part)
    return "&".join(f"{name}={value}" for name, value in parts)


def _digest(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
