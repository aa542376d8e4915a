"""Refusals of object storage, in words for a user.

The texts of the errors hold requests, answers and a dump of the client's state. Only the service's own error code and
the reason of a broken connection are repeated: nothing of a key or a signature gets out.
"""

from __future__ import annotations

import re

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from tasks.store.output.bucket_url import BucketUrl

STORE_ERRORS = (BaseError, FileNotFoundError)
"""Exceptions that obstore raises for an answer, or for none; a missing object is a `FileNotFoundError`."""

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3} [A-Za-z ]+)")
_CONNECTION = re.compile(r"HTTP error: ([a-z ]+)")

_KEY = ("the credentials are not accepted", "set the right ones")
_EXPIRED = ("the credentials have expired, or this machine's clock is wrong", "correct that")
_REGION = ("the bucket is in another region", "set AWS_REGION")
_PERMISSION = ("the credentials do not allow to read and write there", "ask for that")

# Codes of S3. Source: Amazon S3 API reference, error responses, read 2026-11.
_BY_CODE = {
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure"), _KEY),
    **dict.fromkeys(("ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed"), _EXPIRED),
    **dict.fromkeys(("AuthorizationHeaderMalformed", "PermanentRedirect"), _REGION),
}

# A client without keys asks a cloud machine's metadata service for some; without an account's name it does not begin.
_NO_KEYS = ("169.254.169.254", "metadata.google", "TokenRequest", "Account must be specified")
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT to the path of its key file",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


def get_reason(error: Exception, url: BucketUrl) -> str:
    """The reason of a refusal and what to do, without the URL in front.

    Args:
        error: One of `STORE_ERRORS`.
        url: The place that was asked.
    """
    text = str(error)
    # First: without keys the client asks a machine that is not there, and fails with a time-out.
    if any(sign in text for sign in _NO_KEYS):
        return f"there are no credentials: set {_KEYS[url.scheme]}"
    if found := _CONNECTION.search(text):
        return f"the storage cannot be reached ({found[1].strip()}): see to the network and the endpoint"
    answer = _find_answer_code(text)
    meaning, cure = _BY_CODE.get(answer) or _explain_by_type(error, url)
    return f"{meaning} ({answer}): {cure}"


def _explain_by_type(error: Exception, url: BucketUrl) -> tuple[str, str]:
    match error:
        case UnauthenticatedError():
            return _KEY
        case PermissionDeniedError():
            return _PERMISSION
        case FileNotFoundError():
            return f"there is no bucket {url.bucket!r}", "make it, or name another one"
        case _:
            return "the storage is in trouble", "wait or ask its operator"


def _find_answer_code(text: str) -> str:
    """The code that the service gave, else the status of its answer, else the first line of the text, cut."""
    if found := _CODE.search(text) or _STATUS.search(text):
        return found[1].strip()
    # The lines after it may hold the signed request.
    return text.partition("\n")[0][:160]
