"""Bytes put into a file, and the file copied once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes of a file that others take the place of; none where both places are the same."""

    start: int
    stop: int
    new: bytes


def splice(data: bytes, edits: Iterable[Edit]) -> bytes:
    """The file with the edits made, in order of their places; those of one place in the order given."""
    view, parts, position = memoryview(data), list[bytes | memoryview](), 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        parts += [view[position : edit.start], edit.new]
        position = edit.stop
    return b"".join([*parts, view[position:]])
