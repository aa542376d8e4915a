"""Digests that a storage sends with a file, compared with the bytes that came.

Google's storage (Replicate's, fal's) sends `x-goog-hash`, Azure's `Content-MD5`, others `Content-Digest` (RFC 9530). An ETag is an
MD5 at some storages and something else of the same length at others, so it proves nothing and is not read.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from typing import Final

import httpx

from tasks.core.errors import Unfetched
from tasks.store.chunks import PNG_SIGNATURE

AT_ONCE_BYTES = 1024 * 1024
"""Two milliseconds of the event loop; more goes to a thread."""
_LENGTHS: Final = {"md5": 16, "sha-256": 32}  # bytes of a whole digest; a shorter one is truncated or something else


async def check_digest(headers: httpx.Headers, body: bytes) -> None:
    """Pass when the bytes are those that the storage holds, or when it does not say what it holds.

    A PNG passes: it has a checksum of its own for every byte, which costs a tenth.

    Raises:
        Unfetched: The digest differs; asking again helps and costs nothing.
    """
    # PNG checks itself during the decoding that follows, so hashing it would be work done twice.
    if (found := find_digest(headers)) is None or body.startswith(PNG_SIGNATURE):
        return
    name, expected = found
    compute = partial(_compute_digest, name, body)
    # hashlib lets other threads run above 2 KB, but the event loop waits for it all the same.
    actual = compute() if len(body) <= AT_ONCE_BYTES else await asyncio.to_thread(compute)
    if actual != expected:
        raise Unfetched(f"the bytes that came are not those of the storage (their {name} differs)")


def _compute_digest(name: str, body: bytes) -> bytes:
    return hashlib.new(name.replace("-", ""), body, usedforsecurity=False).digest()


def find_digest(headers: httpx.Headers) -> tuple[str, bytes] | None:
    """Name and value of the strongest digest of the body as it is read; None where there is none."""
    # Google's storage can hold a file compressed and deliver it plain: its hash is then of bytes that never came. Where
    # the answer itself came compressed, its digests went with its encoding (`transport.bound_answer`).
    if headers.get("x-goog-stored-content-encoding", "identity") != "identity":
        return None
    found = dict(_iterate_digests(headers))
    # A listed MD5 guards against damage only; where both come, the stronger one also guards against a wrong file.
    return next(((name, found[name]) for name in ("sha-256", "md5") if name in found), None)


def _iterate_digests(headers: httpx.Headers) -> Iterator[tuple[str, bytes]]:
    named = [
        *(entry.partition("=") for entry in headers.get_list("x-goog-hash", split_commas=True)),
        *(entry.partition("=") for entry in headers.get_list("content-digest", split_commas=True)),
        *(("md5", "=", entry) for entry in headers.get_list("content-md5")),
    ]
    for name, _, text in named:
        kind = name.strip().lower()
        try:
            # RFC 9530 wraps the value in colons, the other headers do not.
            value = b64decode(text.strip().strip(":"), validate=True)
        except (binascii.Error, ValueError):
            continue  # a header that cannot be read says nothing about the image
        if len(value) == _LENGTHS.get(kind):
            yield kind, value
