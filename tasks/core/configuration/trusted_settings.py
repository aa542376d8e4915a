"""A resume without a configuration uses what its ledger says: only addresses, variables and paths that are the user's.

Somebody else's ledger could otherwise send any variable of the environment to any address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tasks.core.configuration import trust
from tasks.core.configuration.settings import Settings
from tasks.core.errors import ConfigError
from tasks.core.gates import list_judges
from tasks.core.identity import hash_text, to_canonical_json
from tasks.core.safe_text import error_text

PLACE_KEYS = frozenset({"path", "cluster", "delivery_hosts", "rest_path", "model", "sink", "address", "host", "aws"})
PLACE_ENDINGS = ("_env", "_url", "_base", "_path", "_dir", "_folder", "_hosts")
PLACE_MARKS = ("://", "{env:", "/", "\\", "~")
PARTS = ("backends", "scores", "usage", "runner", "output", "reuse")
MOST_SHOWN = 5
Reach = tuple[str, str]
"""A setting and its value, such as `api_base` and an address."""


def remember_settings(settings: Settings) -> None:
    """Trust settings that the user's own configuration gave to a run."""
    trust.remember("settings", _hash(settings))


def require_trusted_settings(settings: Settings, parts: Collection[str] = PARTS) -> None:
    """Check that the settings of a ledger, or the parts of them that are used, reach only what is the user's.

    Raises:
        ConfigError: They name places that are neither in the user's configuration nor used before. Nothing was sent.
    """
    # By a hash of the places alone: another size or price needs no new trust.
    if trust.is_trusted("settings", _hash(settings)):
        return
    strange = list(find_strange_settings(settings, trust.load_own_settings(), parts))
    if not strange:
        return
    shown = "\n".join(f"  {error_text(item, most_chars=200)}" for item in strange[:MOST_SHOWN])
    more = f"\n  and {len(strange) - MOST_SHOWN} more" if len(strange) > MOST_SHOWN else ""
    raise ConfigError(
        f"the ledger of this batch names places that are not in your configuration:\n{shown}{more}\n"
        f"give your own with --config; {trust.HOW_TO_TRUST}"
    )


def find_strange_settings(settings: Settings, own: Settings, parts: Collection[str] = PARTS) -> Iterator[str]:
    """Settings that reach a place which the user's own configuration and the built-in one do not name.

    A backend's settings count together: one address of the user's with another variable of the user's is neither.
    """
    mine = [{("type", instance.type), *_find_reaches(instance.model_dump(mode="json"))} for instance in _list_own(own)]
    for name, instance in settings.backends.items() if "backends" in parts else ():
        reaches = {("type", instance.type), *_find_reaches(instance.model_dump(mode="json"))}
        # One backend's set as a whole, or a stranger could pair the user's key with an address of the user's that is
        # not its service.
        if len(reaches) > 1 and not any(reaches <= known for known in mine):
            yield from (f"backends.{name}.{key}: {value}" for key, value in sorted(reaches) if key != "type")
    my_judges = [_find_reaches(judge.model_dump(mode="json")) for judge in own.scores.values()]
    for name, reaches in _find_judges(settings).items() if "scores" in parts else ():
        if not any(reaches <= known for known in my_judges):
            yield from (f"scores.{name}.{key}: {value}" for key, value in sorted(reaches))
    if "reuse" in parts:
        yield from (f"reuse: {place}" for place in settings.reuse if place not in own.reuse)
    for section in set(parts) - {"backends", "scores", "reuse"}:
        known = {reach for each in (own, Settings()) for reach in _find_reaches(_dump(each, section))}
        yield from (
            f"{section}.{key}: {value}" for key, value in sorted(_find_reaches(_dump(settings, section)) - known)
        )


def _list_own(own: Settings) -> Iterator[Any]:
    yield from own.backends.values()
    yield from Settings().backends.values()


def _find_judges(settings: Settings) -> dict[str, set[Reach]]:
    """Find what the judges of a run reach; `imagen score` takes its own from the user's configuration."""
    return {
        name: _find_reaches(settings.scores[name].model_dump(mode="json"))
        for name in list_judges(settings.gates, settings.scores)
    }


def _dump(settings: Settings, section: str) -> Mapping[str, Any]:
    dumped: Mapping[str, Any] = getattr(settings, section).model_dump(mode="json")
    return dumped


def _find_reaches(tree: Any, key: str = "") -> set[Reach]:
    """Every text below a section that names a place: by its key, or by what it looks like."""
    if isinstance(tree, Mapping):
        return {reach for name, value in tree.items() for reach in _find_reaches(value, f"{key}.{name}".lstrip("."))}
    if isinstance(tree, list):
        return {reach for value in tree for reach in _find_reaches(value, key)}
    name = key.rpartition(".")[2]
    if not isinstance(tree, str) or (name == "model" and not _is_path(tree)):
        return set()
    names_place = name in PLACE_KEYS or name.endswith(PLACE_ENDINGS) or any(mark in tree for mark in PLACE_MARKS)
    return {(key, tree)} if names_place else set()


def _is_path(model: str) -> bool:
    """A model's name has one slash in it, and is no place of its own."""
    return model.startswith(("/", "~", ".", "\\")) or "://" in model


def _hash(settings: Settings) -> str:
    reaches = {
        name: sorted(_find_reaches(instance.model_dump(mode="json"))) for name, instance in settings.backends.items()
    }
    names = ["usage", "runner"]
    if settings.output.signing is not None:
        names.append("output")
    sections = {section: sorted(_find_reaches(_dump(settings, section))) for section in names}
    # No word of it where nothing is reused: settings that were trusted before stay so.
    reused = [sorted(settings.reuse)] if settings.reuse else []
    judges = {name: sorted(found) for name, found in _find_judges(settings).items()}
    return hash_text(to_canonical_json([reaches, sections, *reused, *([judges] if judges else [])]))
