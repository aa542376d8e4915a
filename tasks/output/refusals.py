"""What object storage says when it does not do what it was asked to, in words for a user.

The texts of the errors hold requests, answers and a dump of the client's state. Only the service's own error code and
the reason of a broken connection are repeated: nothing of a key or a signature gets out.
"""

from __future__ import annotations

import re

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

STORE_ERRORS = (BaseError, FileNotFoundError)
"""What obstore raises for an answer, or for none; a missing object is a `FileNotFoundError`."""

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3} [A-Za-z ]+)")
_CONNECTION = re.compile(r"HTTP error: ([a-z ]+)")

# Codes of S3. Source: Amazon S3 API reference, error responses, read 2026-11.
_KEY_CODES = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure", "InvalidSecurity"}
_EXPIRED_CODES = {"ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed"}

# Where a client without keys asks for some: the address of a cloud machine's metadata service.
_METADATA_SERVICE = ("169.254.169.254", "token request", "TokenRequest", "metadata.google", "MissingCredentials")


def reason_of(error: Exception, *, bucket: str) -> str:
    """Why it was refused and what to mend, without the URL in front.

    Args:
        error: One of `STORE_ERRORS`.
        bucket: Named where it does not exist.
    """
    text = str(error)
    code = found[1] if (found := _CODE.search(text)) else None
    if any(sign in text for sign in _METADATA_SERVICE):
        return "there are no credentials (S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    if code in _KEY_CODES or isinstance(error, UnauthenticatedError):
        return f"the credentials are not accepted ({code or _answer(text)}): set the right ones"
    if code in _EXPIRED_CODES:
        return f"the credentials have expired or this machine's clock is wrong ({code}): renew them"
    if isinstance(error, PermissionDeniedError):
        return (
            f"these credentials may not write there ({code or _answer(text)}): ask for the permission to read and write"
        )
    if isinstance(error, FileNotFoundError):
        return f"there is no bucket {bucket!r} ({code or _answer(text)}): make it, or name another one with --out"
    return _away(text)


def _away(text: str) -> str:
    if found := _CONNECTION.search(text):
        return f"the storage cannot be reached ({found[1].strip()}): see to the network and the endpoint"
    return f"the storage is in trouble ({_answer(text)})"


def _answer(text: str) -> str:
    """The status of the answer, else the first line of the text, cut."""
    if found := _STATUS.search(text):
        return found[1].strip()
    return text.partition("\n")[0][:160]
