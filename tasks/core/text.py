"""Commands of ours in messages, as they can be pasted into a shell."""

from __future__ import annotations

import shlex


def command_text(*words: object) -> str:
    """`imagen` with these words, quoted where they need it."""
    return shlex.join(["imagen", *map(str, words)])
