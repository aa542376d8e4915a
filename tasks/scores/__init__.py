"""Numbers about finished images: `imagen score`. The registry of scores: ours by name, others' through entry points.

A score is loaded only when it is asked for, so nobody waits for the models of another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points

from tasks.core.errors import ConfigError, InputError
from tasks.core.safe_text import error_text
from tasks.ledger.scores import KEPT
from tasks.scores.base import Score, ScoreContext

ENTRY_POINT_GROUP = "imagen.scores"
EMBEDDED_SCORES = {
    "blank": "tasks.scores.blank:Blank",
    "clip": "tasks.scores.clip:Clip",
    "phash": "tasks.scores.phash:Phash",
    "pickscore": "tasks.scores.clip:PickScore",
    "sharpness": "tasks.scores.sharpness:Sharpness",
}
"""Our own; named here rather than as entry points so that they work in a checkout without an install."""

# A name begins the keys of its results, so it has to be one everywhere: in SQL, in JSON, in a page.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def find_scores() -> dict[str, EntryPoint]:
    """Every score that can be asked for by name; another package cannot replace ours."""
    ours = {name: EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in EMBEDDED_SCORES.items()}
    theirs = {
        point.name: point
        for point in entry_points(group=ENTRY_POINT_GROUP)
        # The gates' own decision is kept under that name.
        if _NAME.fullmatch(point.name) and point.name != KEPT
    }
    return theirs | ours


def parse_names(text: str, judges: Collection[str] = ()) -> list[str]:
    """Names of scores and of configured judges with commas between them, each once.

    Raises:
        InputError: There is no such score, or no name at all.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = {*find_scores(), *judges}
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--with: {unknown[0]!r} is not a score; there are: {', '.join(sorted(known))}")
    if not names:
        raise InputError(f"--with names no score; there are: {', '.join(sorted(known))}")
    return names


def load_score(name: str, context: ScoreContext) -> Score:
    """The score of this name, ready to measure.

    Raises:
        ConfigError: Its package is broken, or it cannot be set up.
    """
    try:
        build: Callable[[ScoreContext], Score] = find_scores()[name].load()
        score = build(context)
        # Read once here: a score without it would fail in the middle of a batch.
        batch: object = score.batch
    except ConfigError:
        raise
    # A package may break in any way; the user has to learn which score it was.
    except Exception as exc:
        raise ConfigError(f"score {name!r} cannot be loaded ({type(exc).__name__}: {error_text(exc)})") from exc
    if not isinstance(batch, int) or batch < 1:
        raise ConfigError(f"score {name!r} cannot be used: its `batch` is {batch!r}, not a whole number from 1")
    return score
