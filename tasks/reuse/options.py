"""The user's wish for images of other batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.core.configuration.settings import Settings
from tasks.core.paths import make_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class ReuseOptions:
    """The places that images may come from."""

    patterns: tuple[str, ...] = ()
    """Folders, globs and places in buckets; empty: nothing is reused."""
    any_salt: bool = False
    """An image of another salt is as good, though its derived seed is another one."""


NO_REUSE = ReuseOptions()


def build_reuse_options(settings: Settings, places: Sequence[str] | None, *, any_salt: bool) -> ReuseOptions:
    """The given places, from this folder on, else the configured ones."""
    # Whole paths: a resume, or a worker, starts in another folder.
    whole = settings.reuse if places is None else [make_whole(place, Path.cwd()) for place in places]
    return ReuseOptions(patterns=tuple(whole), any_salt=any_salt or settings.reuse_any_salt)
