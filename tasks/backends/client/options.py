"""Kinds of settings that the HTTP backends share, and the secrets that some of them name."""

from __future__ import annotations

import os
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
"""Of the addresses of the type `http`; what it becomes is a part of an address, a port too."""


def _check_address(value: str) -> str:
    try:
        # A placeholder may stand for a port, and `{port}` is no number until it is filled in.
        parts = urlsplit(_PLACEHOLDER.sub("1", value))
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, half a pair of brackets
        is_one = False
    if not is_one:
        # Up to the last @: a password with a slash in it is why it is no address.
        shown = re.sub("//.*@", "//***@", value, flags=re.DOTALL)
        raise ValueError(f"{shown!r} is not an address; write https://...")
    # It would stand in the batch's ledger and in every message that names the service.
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a login; put it into an environment variable, and send that as a header")
    return value


def build_authorization(key: str) -> dict[str, str]:
    """The header for a key; one that names its scheme (`Basic dXNlcjpwYXNz`) is sent as it is, none gives no header."""
    named = key.lower().startswith(("basic ", "bearer "))
    return {"Authorization": key if named else f"Bearer {key}"} if key else {}


def read_secret(name: str) -> str:
    """Read the environment variable without white space around it; empty where it is not set."""
    # Keys that are copied from a page or a file often bring a newline along, and no header can hold one.
    return os.environ.get(name, "").strip()


def find_secret_problem(name: str) -> str | None:
    """Explain why the secret in the variable cannot be sent; None where it can."""
    if not read_secret(name):
        return f"set {name}"
    # httpx would raise while it encodes the header: far from the setting, and with the key in the message.
    if not (read_secret(name).isascii() and read_secret(name).isprintable()):
        return f"set {name} again: it holds a character that is in no key, such as a curly quotation mark"
    return None


Address = Annotated[str, AfterValidator(_check_address)]
"""The address at which a service answers."""


def _check_base(value: str) -> str:
    # Paths are put behind it: behind a query, every call would go to one and the same place.
    if "?" in value or "#" in value:
        raise ValueError("write the address without what begins with ? or #; a key belongs into a header")
    return value


BaseAddress = Annotated[Address, AfterValidator(_check_base)]
"""An address to which the paths of calls are added."""
