"""The meaning of a sink's refusal and what to do about it, read from codes, never from words.

SQLSTATEs are those of PostgreSQL's manual (Appendix A, version 15), codes with PGRST those of PostgREST's
(versions 12 to 14, read 2026-11-24).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tasks.core.errors import UsageRefused

# Characters of a refusal; a page of HTML would hide the advice behind it.
DETAIL_CHARACTERS = 300
PORTS = range(1, 65_536)

_REASONS = {
    **dict.fromkeys(("42P01", "3F000", "42703", "42P10", "PGRST204", "PGRST205", "PGRST125"), "schema"),
    "PGRST106": "exposure",
    "42501": "permission",
    # 22023 is what PostgREST passes on for a key whose role does not exist.
    **dict.fromkeys(("PGRST301", "PGRST302", "PGRST303", "28000", "28P01", "22023"), "key"),
    "3D000": "setting",
}
_REASONS_OF_CLASSES = {"22": "data", "23": "data"}

_ADVICE = {
    "setting": "look at {address}",
    "key": "put the right one into {key}",
    "expired": "put a new one into {key}",
    "schema": "it has no table mai.imagen_usage as imagen knows it: run `imagen usage migrate`",
    "absence": (
        "it has no table mai.imagen_usage, or that is not the address of its API: run `imagen usage migrate`, "
        "look at {address}"
    ),
    "exposure": (
        "its API does not show the schema mai: add `mai` to the exposed schemas in Supabase's API settings "
        "(PostgREST: db-schemas)"
    ),
    "permission": (
        "whoever {key} stands for may not use mai.imagen_usage: put the service role's key there, and let "
        "`imagen usage migrate` grant it what it needs"
    ),
    "blocked": (
        "a web page came in place of its answer, as a firewall, a proxy or a gateway sends: look at the network and {address}"
    ),
    "data": "the table does not take a row: compare it with the one of `imagen usage migrate`",
    "other": "correct that, then push again",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Names of a sink in messages."""

    name: str
    address: str
    """Variable that holds where it is."""
    key: str
    """Variable that holds what opens it."""

    def refused(self, reason: str, detail: str) -> UsageRefused:
        """The error for a reason, with what to do; `detail` is the sink's own words."""
        # What to do is always about a variable: the user has no other handle on it.
        advice = _ADVICE[reason].format(address=self.address, key=self.key)
        known = {"absence": "schema", "exposure": "schema", "blocked": "other"}.get(reason, reason)
        return UsageRefused(known, f"{self.name} refuses this ({detail[:DETAIL_CHARACTERS]}); {advice}")


def find_reason(code: str) -> str:
    """The reason that a code stands for; `other` for those that say nothing to us."""
    return _REASONS.get(code) or _REASONS_OF_CLASSES.get(code[:2] if len(code) == 5 else "", "other")  # noqa: PLR2004  a SQLSTATE


def read_variable(name: str, setting: str, *, needed_by: str) -> str:
    """Read the variable without edge spaces; the message never shows it.

    Raises:
        UsageRefused: It is not set, or holds what no URL and no key holds.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise UsageRefused(
            "setting",
            f"{needed_by} needs the environment variable {name}, which is not set ({setting} names another one)",
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UsageRefused(
            "setting",
            f"the environment variable {name} holds spaces or other signs that cannot be in it",
        )
    return value
